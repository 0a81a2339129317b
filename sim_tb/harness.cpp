// Streams into a Verilated module and out of it, at full speed or with stalls.
//
// ports.h, generated, defines Vtop's streams: INPUTS(X) and OUTPUTS(X) apply X(number, valid, ready, payload, words) to each,
// PLAIN(X) applies X(signal) to inputs that are no streams, CLOCKED says whether there are clk and rst, MUTANT is the input that
// selects a mutant if there is one, EVERY_EDGE that each edge of clk is one, in a module whose outputs look at nothing but registers and
// readies: then one evaluation is a cycle.
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include "Vtop.h"
#include "verilated.h"
#include "ports.h"

namespace {

template <class T> inline void put(T& port, const uint32_t* words) {
    if constexpr (sizeof(T) == 8) port = words[0] | uint64_t(words[1]) << 32;
    else port = T(words[0]);
}
template <size_t N> inline void put(VlWide<N>& port, const uint32_t* words) { for (size_t n = 0; n < N; n++) port[n] = words[n]; }

template <class T> inline void get(const T& port, uint32_t* words) {
    words[0] = uint32_t(port);
    if constexpr (sizeof(T) == 8) words[1] = uint32_t(port >> 32);
}
template <size_t N> inline void get(const VlWide<N>& port, uint32_t* words) { for (size_t n = 0; n < N; n++) words[n] = port[n]; }

enum Stall { NONE, RANDOM, BURSTY };
enum Outcome { DONE, STUCK, UNSTEADY, TOO_MANY, WRONG, UNSETTLED };

// Whether to pause, cycle by cycle.
struct Pause {
    uint64_t state;
    uint32_t left = 0;
    bool now = false, long_one = false, slow = false;
    uint32_t draw() { state ^= state << 13; state ^= state >> 7; state ^= state << 17; return uint32_t(state >> 32); }
    bool next(Stall stall) {
        if (stall == NONE) return false;
        if (stall == RANDOM) return draw() % 10 < 3;
        if (slow) {
            if (left) { left--; return true; }
            left = draw() % 32;
            return false;
        }
        if (!left) {
            const bool before = now;
            now = !long_one && draw() & 1;
            long_one = now && !before && !(draw() % 16);
            left = 1 + draw() % (long_one ? 160 : 12);
        }
        left--;
        return now;
    }
};

#define COUNT(...) +1
constexpr int N_IN = 0 INPUTS(COUNT), N_OUT = 0 OUTPUTS(COUNT);
constexpr uint32_t MOST_WORDS = 1024;
constexpr uint64_t TAIL = 64;          // cycles in which nothing may follow the last transaction expected

struct Options { uint64_t stall, seed, idle, cycles, mutant, before; };
struct Stats { uint64_t cycles, first_in, port; uint64_t taken[8], given[8], waited[8], first_out[8], last_out[8]; };

struct Streams {
    const uint32_t* const* in;
    const uint64_t* in_count;
    uint32_t* const* out;              // kept here, or compared with want
    const uint32_t* const* want;
    const uint64_t* out_count;
};

// Streams until all that is expected came, or, if it is only to leave a mess behind, for some cycles without looking at anything: the
// last of them is a reset, which must undo whatever was, and take nothing of what the sources still offer. With stalls, a source that
// pauses shows the payload of any transaction.
template <bool STALLS, bool MESS>
int loop(Vtop& module, const Streams& streams, const Options& options, Stats& s) {
    Vtop* const top = &module;
    const Stall stall = MESS ? RANDOM : Stall(options.stall);
    const uint64_t seed = options.seed + MESS;
    const auto [in, in_count, out, want, out_count] = streams;
    Pause pause_in[N_IN + 1], pause_out[N_OUT + 1];
    for (int n = 0; n < N_IN; n++) pause_in[n].state = (seed * 2654435761u + n + 1) * 0x9e3779b97f4a7c15u | 1;
    for (int n = 0; n < N_OUT; n++) pause_out[n].state = (seed * 2654435761u + n + 101) * 0x9e3779b97f4a7c15u | 1;
    const uint64_t slow = (seed * 0x9e3779b97f4a7c15u >> 32) % (N_IN + N_OUT + 1);     // one of them, or none: the others have to wait for it
    if (slow < N_IN) pause_in[slow].slow = true;
    else if (slow < N_IN + N_OUT) pause_out[slow - N_IN].slow = true;
    bool offered[N_IN + 1] = {}, held[N_OUT + 1] = {};
    static thread_local uint32_t before[N_OUT + 1][MOST_WORDS], now[MOST_WORDS];
    s = Stats{};
    s.first_in = ~0ull;
    uint64_t idle = 0, tail = 0, cycle = 0;
    for (;; cycle++) {
#define DRIVE(n, valid, ready, payload, words) \
        if (!offered[n]) { \
            bool go = s.taken[n] < in_count[n] && !(STALLS && pause_in[n].next(stall)); \
            if (go) put(top->payload, in[n] + s.taken[n] * words); \
            else if (STALLS && in_count[n]) put(top->payload, in[n] + pause_in[n].draw() % in_count[n] * words); \
            top->valid = offered[n] = go; \
            if (go && s.first_in == ~0ull) s.first_in = cycle; \
        }
        INPUTS(DRIVE)
#define ACCEPT(n, valid, ready, payload, words) top->ready = !(STALLS && pause_out[n].next(stall));
        OUTPUTS(ACCEPT)
#if CLOCKED
        if (MESS) top->rst = cycle == options.before;
#endif
#if !EVERY_EDGE
#if CLOCKED
        top->clk = 0;
#endif
        top->eval();
#endif
        bool moved = false, complete = true;
#define TAKEN(n, valid, ready, payload, words) \
        if (offered[n] && top->ready) { \
            s.taken[n]++; offered[n] = false; moved = true; \
        }
        INPUTS(TAKEN)
#define GIVEN(n, valid, ready, payload, words) \
        if (STALLS && held[n]) { \
            if (top->valid) get(top->payload, now); \
            if (!top->valid || std::memcmp(now, before[n], 4 * words)) { s.port = n; s.cycles = cycle; return UNSTEADY; } \
        } \
        if (top->valid && top->ready) { \
            if (s.given[n] == out_count[n]) { s.port = n; s.cycles = cycle; return TOO_MANY; } \
            if (want) { \
                get(top->payload, now); \
                if (std::memcmp(now, want[n] + s.given[n] * words, 4 * words)) { \
                    std::memcpy(out[n], now, 4 * words); \
                    s.port = n; s.cycles = cycle; return WRONG; \
                } \
            } else get(top->payload, out[n] + s.given[n] * words); \
            if (!s.given[n]) s.first_out[n] = cycle; \
            s.last_out[n] = cycle; s.given[n]++; moved = true; \
            held[n] = false; \
        } else if (STALLS && top->valid) { held[n] = true; s.waited[n]++; get(top->payload, before[n]); } \
        complete &= s.given[n] == out_count[n];
        if constexpr (!MESS) { OUTPUTS(GIVEN) }
#if EVERY_EDGE
        top->clk = !top->clk;
        top->eval();
#elif CLOCKED
        top->clk = 1;
        top->eval();
#endif
        if (MESS) {
            if (cycle < options.before) continue;
#if CLOCKED
            top->rst = 0;
#endif
            return DONE;
        }
        idle = moved ? 0 : idle + 1;
        if (complete && tail++ == TAIL) break;
        if (!complete && (idle > options.idle || cycle > options.cycles)) { s.cycles = cycle; return STUCK; }
    }
    s.cycles = cycle;
    return DONE;
}

// The first reset.
void reset(Vtop& module) {
    Vtop* const top = &module;
#define QUIET(n, valid, ready, payload, words) top->valid = 0;
    INPUTS(QUIET)
#define CLOSED(n, valid, ready, payload, words) top->ready = 0;
    OUTPUTS(CLOSED)
#if CLOCKED
    top->rst = 1;
    for (int n = 0; n < 2; n++) { top->clk = 0; top->eval(); top->clk = 1; top->eval(); }
    top->rst = 0;
#endif
#if EVERY_EDGE
#define OPEN(n, valid, ready, payload, words) top->ready = 1;
    OUTPUTS(OPEN)
    top->eval();                       // what a ready that is always high does to the others
#endif
}

}  // namespace

extern "C" int harness_run(const uint32_t* const* in, const uint64_t* in_count, uint32_t* const* out, const uint32_t* const* want,
                           const uint64_t* out_count, const void* chosen, void* stats) {
    auto& s = *static_cast<Stats*>(stats);
    const auto& options = *static_cast<const Options*>(chosen);
    const Streams streams{in, in_count, out, want, out_count};
    VerilatedContext context;
    context.randReset(0);
    auto top = std::make_unique<Vtop>(&context, "top");
#define ZERO(signal) top->signal = 0;
    PLAIN(ZERO)
#ifdef MUTANT
    top->MUTANT = options.mutant;
#endif
#if EVERY_EDGE
    if (options.stall != NONE || options.before) return STUCK;
#endif
    try {
        reset(*top);
        if (CLOCKED && options.before) loop<true, true>(*top, streams, options, s);
        const int outcome = options.stall == NONE ? loop<false, false>(*top, streams, options, s) : loop<true, false>(*top, streams, options, s);
        top->final();
        return outcome;
    } catch (const std::runtime_error&) {
        return UNSETTLED;
    }
}
