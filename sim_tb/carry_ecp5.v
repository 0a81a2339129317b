
// Behaviour of the ECP5 cell CCU2C, two bits of a carry chain, as hw/carry.py uses it: each half looks four inputs up for its propagate,
// and the first two alone, the others zero, for its generate. Carry injection (INJECT1) gates the carry away. Held against Yosys' own model.
module CCU2C(input CIN, A0, B0, C0, D0, A1, B1, C1, D1, output S0, S1, COUT);
  parameter [15:0] INIT0 = 16'h0000;
  parameter [15:0] INIT1 = 16'h0000;
  parameter INJECT1_0 = "YES";
  parameter INJECT1_1 = "YES";

  wire propagate0 = INIT0[{D0, C0, B0, A0}], propagate1 = INIT1[{D1, C1, B1, A1}];
  wire generate0 = INIT0[{2'b00, B0, A0}], generate1 = INIT1[{2'b00, B1, A1}];
  wire middle = propagate0 ? CIN : (INJECT1_0 == "YES" ? 1'b0 : generate0);

  assign S0 = propagate0 ^ (INJECT1_0 == "YES" ? 1'b0 : CIN);
  assign S1 = propagate1 ^ (INJECT1_1 == "YES" ? 1'b0 : middle);
  assign COUT = propagate1 ? middle : (INJECT1_1 == "YES" ? 1'b0 : generate1);
endmodule
