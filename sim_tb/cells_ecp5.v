// Behaviour of the ECP5 cells for which Yosys has only a black box: MULT18X18D, after the register options and sign
// controls in Lattice FPGA-TN-02205 (sysDSP usage guide) and the ECP5 family data sheet. Modelled: operands A and B, signs,
// the input, pipeline and output registers, each with its clock, clock enable and synchronous reset among the four of each.
// Not modelled, and not produced by synthesis: the C operand, shift inputs and outputs, asynchronous reset, highspeed clock.
module MULT18X18D(
  input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
  input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
  input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  input CLK3, CLK2, CLK1, CLK0, CE3, CE2, CE1, CE0, RST3, RST2, RST1, RST0,
  input SRIA17, SRIA16, SRIA15, SRIA14, SRIA13, SRIA12, SRIA11, SRIA10, SRIA9, SRIA8, SRIA7, SRIA6, SRIA5, SRIA4, SRIA3, SRIA2, SRIA1, SRIA0,
  input SRIB17, SRIB16, SRIB15, SRIB14, SRIB13, SRIB12, SRIB11, SRIB10, SRIB9, SRIB8, SRIB7, SRIB6, SRIB5, SRIB4, SRIB3, SRIB2, SRIB1, SRIB0,
  output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
  output P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0,
  output SIGNEDP);
  parameter REG_INPUTA_CLK = "NONE";
  parameter REG_INPUTA_CE = "CE0";
  parameter REG_INPUTA_RST = "RST0";
  parameter REG_INPUTB_CLK = "NONE";
  parameter REG_INPUTB_CE = "CE0";
  parameter REG_INPUTB_RST = "RST0";
  parameter REG_INPUTC_CLK = "NONE";
  parameter REG_INPUTC_CE = "CE0";
  parameter REG_INPUTC_RST = "RST0";
  parameter REG_PIPELINE_CLK = "NONE";
  parameter REG_PIPELINE_CE = "CE0";
  parameter REG_PIPELINE_RST = "RST0";
  parameter REG_OUTPUT_CLK = "NONE";
  parameter REG_OUTPUT_CE = "CE0";
  parameter REG_OUTPUT_RST = "RST0";
  parameter CLK0_DIV = "ENABLED";
  parameter CLK1_DIV = "ENABLED";
  parameter CLK2_DIV = "ENABLED";
  parameter CLK3_DIV = "ENABLED";
  parameter HIGHSPEED_CLK = "NONE";
  parameter GSR = "ENABLED";
  parameter CAS_MATCH_REG = "FALSE";
  parameter SOURCEB_MODE = "B_SHIFT";
  parameter MULT_BYPASS = "DISABLED";
  parameter RESETMODE = "SYNC";

  wire [3:0] clk = {CLK3, CLK2, CLK1, CLK0}, ce = {CE3, CE2, CE1, CE0}, rst = {RST3, RST2, RST1, RST0};

  localparam A_CLK = REG_INPUTA_CLK == "CLK1" ? 1 : REG_INPUTA_CLK == "CLK2" ? 2 : REG_INPUTA_CLK == "CLK3" ? 3 : 0;
  localparam A_CE = REG_INPUTA_CE == "CE1" ? 1 : REG_INPUTA_CE == "CE2" ? 2 : REG_INPUTA_CE == "CE3" ? 3 : 0;
  localparam A_RST = REG_INPUTA_RST == "RST1" ? 1 : REG_INPUTA_RST == "RST2" ? 2 : REG_INPUTA_RST == "RST3" ? 3 : 0;
  localparam B_CLK = REG_INPUTB_CLK == "CLK1" ? 1 : REG_INPUTB_CLK == "CLK2" ? 2 : REG_INPUTB_CLK == "CLK3" ? 3 : 0;
  localparam B_CE = REG_INPUTB_CE == "CE1" ? 1 : REG_INPUTB_CE == "CE2" ? 2 : REG_INPUTB_CE == "CE3" ? 3 : 0;
  localparam B_RST = REG_INPUTB_RST == "RST1" ? 1 : REG_INPUTB_RST == "RST2" ? 2 : REG_INPUTB_RST == "RST3" ? 3 : 0;
  localparam M_CLK = REG_PIPELINE_CLK == "CLK1" ? 1 : REG_PIPELINE_CLK == "CLK2" ? 2 : REG_PIPELINE_CLK == "CLK3" ? 3 : 0;
  localparam M_CE = REG_PIPELINE_CE == "CE1" ? 1 : REG_PIPELINE_CE == "CE2" ? 2 : REG_PIPELINE_CE == "CE3" ? 3 : 0;
  localparam M_RST = REG_PIPELINE_RST == "RST1" ? 1 : REG_PIPELINE_RST == "RST2" ? 2 : REG_PIPELINE_RST == "RST3" ? 3 : 0;
  localparam P_CLK = REG_OUTPUT_CLK == "CLK1" ? 1 : REG_OUTPUT_CLK == "CLK2" ? 2 : REG_OUTPUT_CLK == "CLK3" ? 3 : 0;
  localparam P_CE = REG_OUTPUT_CE == "CE1" ? 1 : REG_OUTPUT_CE == "CE2" ? 2 : REG_OUTPUT_CE == "CE3" ? 3 : 0;
  localparam P_RST = REG_OUTPUT_RST == "RST1" ? 1 : REG_OUTPUT_RST == "RST2" ? 2 : REG_OUTPUT_RST == "RST3" ? 3 : 0;

  wire [18:0] a_in = {SIGNEDA, A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire [18:0] b_in = {SIGNEDB, B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  wire [18:0] a, b;
  wire [36:0] product, piped, p;

  mantissa_dsp_register #(.WIDTH(19), .PRESENT(REG_INPUTA_CLK != "NONE")) ra(clk[A_CLK], ce[A_CE], rst[A_RST], a_in, a);
  mantissa_dsp_register #(.WIDTH(19), .PRESENT(REG_INPUTB_CLK != "NONE")) rb(clk[B_CLK], ce[B_CE], rst[B_RST], b_in, b);

  wire signed [36:0] wide_a = {{19{a[18] & a[17]}}, a[17:0]};
  wire signed [36:0] wide_b = {{19{b[18] & b[17]}}, b[17:0]};
  wire signed [36:0] exact = wide_a * wide_b;
  assign product = {a[18] | b[18], exact[35:0]};

  mantissa_dsp_register #(.WIDTH(37), .PRESENT(REG_PIPELINE_CLK != "NONE")) rm(clk[M_CLK], ce[M_CE], rst[M_RST], product, piped);
  mantissa_dsp_register #(.WIDTH(37), .PRESENT(REG_OUTPUT_CLK != "NONE")) rp(clk[P_CLK], ce[P_CE], rst[P_RST], piped, p);

  assign {SIGNEDP, P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13, P12,
          P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = p;
endmodule

module mantissa_dsp_register #(parameter WIDTH = 1, parameter PRESENT = 0) (input clk, ce, rst, input [WIDTH-1:0] d, output [WIDTH-1:0] q);
  generate
    if (PRESENT) begin : registered
      reg [WIDTH-1:0] held = 0;
      always @(posedge clk)
        if (rst) held <= 0;
        else if (ce) held <= d;
      assign q = held;
    end else begin : wired
      assign q = d;
    end
  endgenerate
endmodule
