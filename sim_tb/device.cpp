// The simulated device: a Verilated accelerator behind a small C interface.
//
// Bytes queue up on both sides; time passes only in device_run. Compiled with -DUART the bytes go through
// the pins `rx` and `tx`, DIVISOR clock cycles a bit, otherwise through the streams `rx` and `tx`.
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>

#include "verilated.h"
#include "Vtop.h"

// Verilator's spelling of double underscores.
#define rx_valid rx___05Fvalid
#define rx_ready rx___05Fready
#define rx_payload rx___05Fpayload
#define tx_valid tx___05Fvalid
#define tx_ready tx___05Fready
#define tx_payload tx___05Fpayload

namespace {

// Inputs a top may have for the errors of a physical layer, which here has none.
template <class Top> void quiet(Top &top) {
    if constexpr (requires { top.phy_framing; }) top.phy_framing = 0;
    if constexpr (requires { top.phy_overflow; }) top.phy_overflow = 0;
}

struct Device {
    VerilatedContext context;
    std::unique_ptr<Vtop> top;
    std::deque<uint8_t> in, out;
    uint64_t cycles = 0;
    bool delimiter = false;        // a 0 byte came out
#ifdef UART
    unsigned send_bits = 0, send_wait = 0, send_shift = 0;     // host to device
    unsigned receive_bits = 0, receive_wait = 0, receive_shift = 0;
#endif

    Device() {
        context.threads(1);
        top = std::make_unique<Vtop>(&context, "top");
        quiet(*top);
        top->rst = 1;
#ifdef UART
        top->rx = 1;
#else
        top->rx_valid = 0;
        top->tx_ready = 1;
#endif
        for (int n = 0; n < 4; n++) edge();
        top->rst = 0;
        cycles = 0;
    }

    void edge() {
        top->clk = 0;
        top->eval();
        top->clk = 1;
        top->eval();
        cycles++;
    }

    void emit(uint8_t byte) {
        out.push_back(byte);
        delimiter |= byte == 0;
    }

#ifdef UART
    void cycle() {
        if (!send_bits && !in.empty()) {
            send_shift = 0x200u | in.front() << 1;             // start bit, data, stop bit
            send_bits = 10;
            in.pop_front();
        }
        top->rx = send_bits ? send_shift & 1 : 1;
        if (send_bits && ++send_wait == DIVISOR) {
            send_wait = 0;
            send_shift >>= 1;
            send_bits--;
        }
        const bool line = top->tx;
        if (!receive_bits) {
            if (!line) {
                receive_bits = 9;
                receive_wait = DIVISOR + DIVISOR / 2 - 1;      // middle of the first data bit
            }
        } else if (!receive_wait--) {
            if (--receive_bits) {
                receive_shift = receive_shift >> 1 | line << 7;
                receive_wait = DIVISOR - 1;
            } else if (line) {
                emit(receive_shift);
            }
        }
        edge();
    }

    bool busy() const { return !in.empty() || send_bits || receive_bits; }
#else
    void cycle() {
        top->rx_valid = !in.empty();
        top->rx_payload = in.empty() ? 0 : in.front();
        top->clk = 0;
        top->eval();
        const bool taken = top->rx_valid && top->rx_ready;
        const bool given = top->tx_valid;
        const uint8_t byte = top->tx_payload;
        top->clk = 1;
        top->eval();
        cycles++;
        if (taken) in.pop_front();
        if (given) emit(byte);
    }

    bool busy() const { return !in.empty(); }
#endif
};

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void *device_new() { return new Device; }

void device_free(void *device) { delete static_cast<Device *>(device); }

// Queue bytes for the device.
void device_write(void *device, const uint8_t *bytes, uint64_t count) {
    auto &in = static_cast<Device *>(device)->in;
    in.insert(in.end(), bytes, bytes + count);
}

// Simulate until a frame delimiter has come out, `wanted` bytes wait to be read, or `limit` cycles have passed; cycles passed.
uint64_t device_run(void *device, uint64_t wanted, uint64_t limit) {
    auto &d = *static_cast<Device *>(device);
    const uint64_t start = d.cycles;
    d.delimiter = false;
    while (d.cycles - start < limit && !d.delimiter && d.out.size() < wanted) d.cycle();
    return d.cycles - start;
}

// Take bytes the device sent, at most `count`; their number.
uint64_t device_read(void *device, uint8_t *bytes, uint64_t count) {
    auto &out = static_cast<Device *>(device)->out;
    uint64_t n = 0;
    for (; n < count && !out.empty(); n++) {
        bytes[n] = out.front();
        out.pop_front();
    }
    return n;
}

// Whether bytes are on their way in, or half way out.
int device_busy(void *device) { return static_cast<Device *>(device)->busy(); }

// Clock cycles since reset.
uint64_t device_cycles(void *device) { return static_cast<Device *>(device)->cycles; }

}
#pragma GCC visibility pop
