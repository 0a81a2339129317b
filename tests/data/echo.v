// Stand-ins for the accelerator: a byte stream that answers every byte with its complement, two cycles later, and the same on pins.
module echo(input clk, input rst, input [7:0] rx__payload, input rx__valid, output rx__ready,
            output reg [7:0] tx__payload, output reg tx__valid, input tx__ready);
  assign rx__ready = !tx__valid | tx__ready;
  always @(posedge clk)
    if (rst) tx__valid <= 0;
    else if (rx__ready) begin
      tx__valid <= rx__valid;
      tx__payload <= ~rx__payload;
    end
endmodule

module echo_pins(input clk, input rst, input rx, output reg tx);
  // Sends back what it hears, one cycle late: bytes survive any divisor.
  always @(posedge clk) tx <= rst | rx;
endmodule
