// A Verilated link with a memory on its bus, behind a C interface.
//
// Ready signals, valid signals and the bus' latency are random; time passes only in link_exchange.
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>

#include "verilated.h"
#include "Vtop.h"

#define VALID(stream) top->stream##___05Fvalid
#define READY(stream) top->stream##___05Fready
#define PAYLOAD(stream) top->stream##___05Fpayload

namespace {

constexpr unsigned SIZE = 256;
enum { OK = 0, ADDRESS = 3 };

struct Device {
    VerilatedContext context;
    std::unique_ptr<Vtop> top = std::make_unique<Vtop>(&context, "top");
    uint8_t memory[SIZE] = {};
    uint64_t seed, cycles = 0, requests = 0, unstable = 0;
    struct Response { uint64_t due; uint8_t data, status; };
    std::deque<Response> responses;
    bool tx_held = false, bus_held = false;
    uint8_t tx_last = 0;
    uint64_t bus_last = 0;

    explicit Device(uint64_t seed) : seed(seed | 1) {
        top->state = 0;
        top->phy_framing = top->phy_overflow = 0;
        VALID(rx) = VALID(i_bus) = 0;
        READY(tx) = READY(o_bus) = 0;
        top->rst = 1;
        for (int n = 0; n < 4; n++) edge();
        top->rst = 0;
    }

    uint32_t random() {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return seed >> 32;
    }

    void settle() {
        top->clk = 0;
        top->eval();
    }

    void edge() {
        settle();
        top->clk = 1;
        top->eval();
        cycles++;
    }

    void request(uint64_t word) {
        // fields from bit 0: address 24, write 1, data 8
        const uint32_t address = word & 0xffffff;
        requests++;
        if (address < SIZE && (word >> 24 & 1)) memory[address] = word >> 25;
        const uint64_t due = cycles + 1 + random() % 4;
        responses.push_back({due, address < SIZE ? memory[address] : uint8_t(random()), uint8_t(address < SIZE ? OK : ADDRESS)});
    }

    // One cycle with `byte` (or -1) offered; sets `taken`, returns the byte sent or -1.
    int cycle(int byte, bool &taken) {
        const uint32_t dice = random();
        VALID(rx) = byte >= 0;
        PAYLOAD(rx) = byte & 0xff;
        READY(tx) = dice % 8 != 0;
        READY(o_bus) = dice / 8 % 4 != 0;
        const bool answer = !responses.empty() && responses.front().due <= cycles;
        VALID(i_bus) = answer;
        if (answer) PAYLOAD(i_bus) = responses.front().data | responses.front().status << 8;
        settle();
        taken = byte >= 0 && READY(rx);
        const bool sent = VALID(tx) && READY(tx), asked = VALID(o_bus) && READY(o_bus), answered = answer && READY(i_bus);
        const uint8_t data = PAYLOAD(tx);
        const uint64_t word = PAYLOAD(o_bus);
        unstable += tx_held && (!VALID(tx) || data != tx_last);
        unstable += bus_held && (!VALID(o_bus) || word != bus_last);
        tx_held = VALID(tx) && !sent;
        bus_held = VALID(o_bus) && !asked;
        tx_last = data;
        bus_last = word;
        top->clk = 1;
        top->eval();
        if (answered) responses.pop_front();
        if (asked) request(word);
        cycles++;
        return sent ? data : -1;
    }
};

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API void *link_new(uint64_t seed) { return new Device(seed); }
API void link_free(void *handle) { delete static_cast<Device *>(handle); }
API const uint8_t *link_memory(void *handle) { return static_cast<Device *>(handle)->memory; }
API void link_state(void *handle, uint32_t state) { static_cast<Device *>(handle)->top->state = state; }

// Cycles, bus requests, stream violations, bus requests not answered, and the link's counters.
API uint64_t link_count(void *handle, int which) {
    auto &d = *static_cast<Device *>(handle);
    const uint64_t counts[] = {d.cycles, d.requests, d.unstable, d.responses.size(), d.top->crc_errors, d.top->framing_errors, d.top->overflows,
                               d.top->duplicates, d.top->gaps};
    return counts[which];
}

// Offers `in` (entries above 255 are pauses of that many cycles less 256), then runs until nothing came for `quiet` cycles.
// Returns the bytes received, or -1 if the link did not take all, or sends for ever.
API int64_t link_exchange(void *handle, const uint32_t *in, uint64_t count, uint64_t quiet, uint8_t *out, uint64_t room) {
    auto &d = *static_cast<Device *>(handle);
    uint64_t at = 0, got = 0, still = 0, pause = 0;
    while (at < count || still < quiet) {
        int byte = -1;
        if (!pause && at < count && in[at] > 255) pause = in[at++] - 256;
        if (pause) pause--;
        else if (at < count && d.random() % 4) byte = in[at];
        bool taken = false;
        const int received = d.cycle(byte, taken);
        at += taken;
        if (received >= 0) {
            if (got == room) return -1;
            out[got++] = received;
        }
        still = taken || received >= 0 || pause ? 0 : still + 1;
        if (at < count && still > 100 * quiet) return -1;
    }
    return got;
}
