// Every product of two 16-bit codes: a Verilated multiplier, several times side by side, against values.
//
// The reference knows nothing of how the multiplier works. It is the definition: a code's value, from its bits; the product of two,
// exact in double, which has to hold 26 bits of it at most; and the code whose value is nearest, found among all of them in order, by the
// midpoints between neighbours. POSIT says whether codes are posits with one exponent bit or bfloat16. With REFERENCE_ONLY there is
// no module.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>
#ifndef REFERENCE_ONLY
#include "Vtop.h"
#include "verilated.h"
#include "ports.h"
#endif

namespace {

// Value of a posit with one exponent bit, not negative, of so many bits, read from the left.
double posit(uint32_t code, int width) {
    if (!code) return 0;
    int at = width - 2;
    const int first = code >> at & 1;
    int run = 0;
    while (at >= 0 && int(code >> at & 1) == first) { run++; at--; }
    at--;                                                       // the bit that ends the run
    const int exponent = at >= 0 ? code >> at & 1 : 0;
    at--;
    double fraction = 1;
    for (double weight = 0.5; at >= 0; at--, weight /= 2) fraction += (code >> at & 1) * weight;
    return std::ldexp(fraction, 2 * (first ? run - 1 : -run) + exponent);
}

double bfloat(uint32_t code) {
    const int exponent = code >> 7, fraction = code & 127;
    return exponent ? std::ldexp(128 + fraction, exponent - 134) : std::ldexp(fraction, -133);
}

constexpr uint32_t SIGN = 0x8000;

struct Format {
    const bool is_posit;
    const uint32_t last;                                        // code of the largest number
    std::vector<double> value, middle;                          // of code c; between c and c + 1

    explicit Format(bool posits) : is_posit(posits), last(posits ? 0x7fff : 0x7f7f), value(last + 1), middle(last + 1) {
        for (uint32_t code = 0; code <= last; code++) value[code] = is_posit ? posit(code, 16) : bfloat(code);
        for (uint32_t code = 0; code <= last; code++)           // where one bit more would be 1
            middle[code] = is_posit ? posit(2 * code + 1, 17) : (value[code] + (code < last ? value[code + 1] : 0x1p128)) / 2;
        if (is_posit) { middle[0] = 0; middle[last] = std::numeric_limits<double>::infinity(); }
    }

    uint32_t magnitude(uint32_t code) const { return is_posit && code & SIGN ? (0x10000 - code) & 0xffff : is_posit ? code : code & 0x7fff; }

    // Whether a number is past the middle after a code, or is the middle and the code is odd.
    bool past(double x, uint32_t code) const { return x > middle[code] || (x == middle[code] && code & 1); }

    // Code of the product; near is where to look for it, and where it was found.
    uint32_t product(uint32_t a, uint32_t b, uint32_t& near) const {
        const uint32_t ma = magnitude(a), mb = magnitude(b), sign = (a ^ b) & SIGN;
        if (is_posit) {
            if (ma == SIGN || mb == SIGN) return SIGN;
        } else if (ma > last || mb > last) {
            const bool nan = ma > last + 1 || mb > last + 1 || !ma || !mb;
            return nan ? 0x7fc0 : sign | (last + 1);
        }
        const double x = value[ma] * value[mb];
        near = std::min(near, last);
        while (near <= last && past(x, near)) near++;           // past the largest there is the infinity of bfloat16
        while (near && !past(x, near - 1)) near--;
        if (!is_posit) return sign | near;
        return sign ? (0x10000 - near) & 0xffff : near;
    }

    uint32_t guess(uint32_t a, uint32_t b) const {
        const uint32_t ma = magnitude(a), mb = magnitude(b);
        if (ma > last || mb > last) return 0;
        return uint32_t(std::lower_bound(middle.begin(), middle.end(), value[ma] * value[mb]) - middle.begin());
    }
};

const Format& format() {
    static const Format made(POSIT);
    return made;
}

}  // namespace

// Codes of products, by the definition.
extern "C" void reference(const uint16_t* a, const uint16_t* b, uint16_t* p, uint64_t count) {
    for (uint64_t n = 0; n < count; n++) {
        uint32_t near = format().guess(a[n], b[n]);
        p[n] = uint16_t(format().product(a[n], b[n], near));
    }
}

#ifndef REFERENCE_ONLY

struct Found { uint64_t cases, wrong, a, b, got, want; };

// Rows first_a to first_a + rows - 1, of each as many b from a start that the row chooses: multiples of LANES. What was compared, and the
// first that differs. Returns whether the module kept step: an output, after the first, in every cycle.
extern "C" int all_pairs(uint64_t first_a, uint64_t rows, uint64_t columns, void* found) {
    auto& s = *static_cast<Found*>(found);
    s = Found{};
    VerilatedContext context;
    context.randReset(0);
    auto top = std::make_unique<Vtop>(&context, "top");
    const auto cycle = [&] { top->clk = !top->clk; top->eval(); };
    top->clk = 0;
    top->rst = 1;
    top->a = top->b = 0;
    top->eval();
    cycle();
    top->rst = 0;
    uint64_t lag = 0;
    for (cycle(); !top->valid; cycle())
        if (++lag > 1000) return 1;
    const uint64_t cycles = columns / LANES;
    std::vector<uint16_t> want(columns);
    for (uint64_t a = first_a; a < first_a + rows; a++) {
        const uint32_t start = columns == 0x10000 ? 0 : uint32_t(a * 2654435761u >> 8) / LANES * LANES & 0xffff;
        uint32_t near = format().guess(a, start);
        for (uint64_t n = 0; n < columns; n++) want[n] = uint16_t(format().product(a, (start + n) & 0xffff, near));
        top->a = a;
        for (uint64_t t = 0; t < cycles + lag; t++) {
            top->b = (start + t * LANES) & 0xffff;
            cycle();
            if (!top->valid) return 1;
            if (t < lag) continue;
            const uint16_t* expected = &want[(t - lag) * LANES];
            uint16_t got[LANES];
            for (int w = 0; w < LANES / 2; w++) std::memcpy(got + 2 * w, &top->p[w], 4);
            if (!std::memcmp(got, expected, sizeof got)) continue;
            for (int lane = 0; lane < LANES; lane++) {
                if (got[lane] == expected[lane]) continue;
                if (!s.wrong++) {
                    s.a = a;
                    s.b = (start + (t - lag) * LANES + lane) & 0xffff;
                    s.got = got[lane];
                    s.want = expected[lane];
                }
            }
        }
        s.cases += columns;
    }
    top->final();
    return 0;
}

#endif
