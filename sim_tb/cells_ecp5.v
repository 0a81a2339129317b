// Behaviour of the ECP5 cells for which Yosys has only a black box: MULT18X18D, its register options and sign controls inferred
// from published instances and nextpnr, without Lattice's guide (FPGA-TN-02205) at hand. Modelled: operands A and B, signs,
// the input, pipeline and output registers, the operands passed on, each with its clock, clock enable and synchronous reset among the four of each.
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
  output ROA17, ROA16, ROA15, ROA14, ROA13, ROA12, ROA11, ROA10, ROA9, ROA8, ROA7, ROA6, ROA5, ROA4, ROA3, ROA2, ROA1, ROA0,
  output ROB17, ROB16, ROB15, ROB14, ROB13, ROB12, ROB11, ROB10, ROB9, ROB8, ROB7, ROB6, ROB5, ROB4, ROB3, ROB2, ROB1, ROB0,
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

  assign {ROA17, ROA16, ROA15, ROA14, ROA13, ROA12, ROA11, ROA10, ROA9, ROA8, ROA7, ROA6, ROA5, ROA4, ROA3, ROA2, ROA1, ROA0} = a[17:0];
  assign {ROB17, ROB16, ROB15, ROB14, ROB13, ROB12, ROB11, ROB10, ROB9, ROB8, ROB7, ROB6, ROB5, ROB4, ROB3, ROB2, ROB1, ROB0} = b[17:0];
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

// Behaviour of the ECP5 cell ALU54B as far as hw/dsp_slice.py configures it, inferred from the operation codes of published modules
// that Lattice's generator made. Modelled: the operation A + B + C; the multipliers' products (MA, MB) or nothing as
// operands A and B; the C port or zero as operand C; the C and result registers on CLK0 with CE0 and the synchronous RST0. Anything else is X,
// so that a use outside of this can not pass. Not seen on a board.
module ALU54B(
  input CE3, CE2, CE1, CE0, CLK3, CLK2, CLK1, CLK0, RST3, RST2, RST1, RST0, SIGNEDIA, SIGNEDIB, SIGNEDCIN,
  input A35, A34, A33, A32, A31, A30, A29, A28, A27, A26, A25, A24, A23, A22, A21, A20, A19, A18, A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7,
    A6, A5, A4, A3, A2, A1, A0,
  input B35, B34, B33, B32, B31, B30, B29, B28, B27, B26, B25, B24, B23, B22, B21, B20, B19, B18, B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7,
    B6, B5, B4, B3, B2, B1, B0,
  input C53, C52, C51, C50, C49, C48, C47, C46, C45, C44, C43, C42, C41, C40, C39, C38, C37, C36, C35, C34, C33, C32, C31, C30, C29, C28, C27, C26,
    C25, C24, C23, C22, C21, C20, C19, C18, C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
  input CFB53, CFB52, CFB51, CFB50, CFB49, CFB48, CFB47, CFB46, CFB45, CFB44, CFB43, CFB42, CFB41, CFB40, CFB39, CFB38, CFB37, CFB36, CFB35, CFB34,
    CFB33, CFB32, CFB31, CFB30, CFB29, CFB28, CFB27, CFB26, CFB25, CFB24, CFB23, CFB22, CFB21, CFB20, CFB19, CFB18, CFB17, CFB16, CFB15, CFB14, CFB13,
    CFB12, CFB11, CFB10, CFB9, CFB8, CFB7, CFB6, CFB5, CFB4, CFB3, CFB2, CFB1, CFB0,
  input MA35, MA34, MA33, MA32, MA31, MA30, MA29, MA28, MA27, MA26, MA25, MA24, MA23, MA22, MA21, MA20, MA19, MA18, MA17, MA16, MA15, MA14, MA13,
    MA12, MA11, MA10, MA9, MA8, MA7, MA6, MA5, MA4, MA3, MA2, MA1, MA0,
  input MB35, MB34, MB33, MB32, MB31, MB30, MB29, MB28, MB27, MB26, MB25, MB24, MB23, MB22, MB21, MB20, MB19, MB18, MB17, MB16, MB15, MB14, MB13,
    MB12, MB11, MB10, MB9, MB8, MB7, MB6, MB5, MB4, MB3, MB2, MB1, MB0,
  input CIN53, CIN52, CIN51, CIN50, CIN49, CIN48, CIN47, CIN46, CIN45, CIN44, CIN43, CIN42, CIN41, CIN40, CIN39, CIN38, CIN37, CIN36, CIN35, CIN34,
    CIN33, CIN32, CIN31, CIN30, CIN29, CIN28, CIN27, CIN26, CIN25, CIN24, CIN23, CIN22, CIN21, CIN20, CIN19, CIN18, CIN17, CIN16, CIN15, CIN14, CIN13,
    CIN12, CIN11, CIN10, CIN9, CIN8, CIN7, CIN6, CIN5, CIN4, CIN3, CIN2, CIN1, CIN0,
  input OP10, OP9, OP8, OP7, OP6, OP5, OP4, OP3, OP2, OP1, OP0,
  output R53, R52, R51, R50, R49, R48, R47, R46, R45, R44, R43, R42, R41, R40, R39, R38, R37, R36, R35, R34, R33, R32, R31, R30, R29, R28, R27, R26,
    R25, R24, R23, R22, R21, R20, R19, R18, R17, R16, R15, R14, R13, R12, R11, R10, R9, R8, R7, R6, R5, R4, R3, R2, R1, R0);
  parameter REG_INPUTC0_CLK = "NONE";  parameter REG_INPUTC0_CE = "CE0";  parameter REG_INPUTC0_RST = "RST0";
  parameter REG_INPUTC1_CLK = "NONE";  parameter REG_INPUTC1_CE = "CE0";  parameter REG_INPUTC1_RST = "RST0";
  parameter REG_OPCODEOP0_0_CLK = "NONE";  parameter REG_OPCODEOP0_0_CE = "CE0";  parameter REG_OPCODEOP0_0_RST = "RST0";
  parameter REG_OPCODEOP1_0_CLK = "NONE";
  parameter REG_OPCODEOP0_1_CLK = "NONE";  parameter REG_OPCODEOP0_1_CE = "CE0";  parameter REG_OPCODEOP0_1_RST = "RST0";
  parameter REG_OPCODEOP1_1_CLK = "NONE";
  parameter REG_OPCODEIN_0_CLK = "NONE";  parameter REG_OPCODEIN_0_CE = "CE0";  parameter REG_OPCODEIN_0_RST = "RST0";
  parameter REG_OPCODEIN_1_CLK = "NONE";  parameter REG_OPCODEIN_1_CE = "CE0";  parameter REG_OPCODEIN_1_RST = "RST0";
  parameter REG_OUTPUT0_CLK = "NONE";  parameter REG_OUTPUT0_CE = "CE0";  parameter REG_OUTPUT0_RST = "RST0";
  parameter REG_OUTPUT1_CLK = "NONE";  parameter REG_OUTPUT1_CE = "CE0";  parameter REG_OUTPUT1_RST = "RST0";
  parameter REG_FLAG_CLK = "NONE";  parameter REG_FLAG_CE = "CE0";  parameter REG_FLAG_RST = "RST0";
  parameter REG_INPUTCFB_CLK = "NONE";  parameter REG_INPUTCFB_CE = "CE0";  parameter REG_INPUTCFB_RST = "RST0";
  parameter MCPAT_SOURCE = "STATIC";  parameter MASKPAT_SOURCE = "STATIC";  parameter MASK01 = "0x00000000000000";
  parameter CLK0_DIV = "ENABLED";  parameter CLK1_DIV = "ENABLED";  parameter CLK2_DIV = "ENABLED";  parameter CLK3_DIV = "ENABLED";
  parameter MCPAT = "0x00000000000000";  parameter MASKPAT = "0x00000000000000";  parameter RNDPAT = "0x00000000000000";
  parameter GSR = "ENABLED";  parameter RESETMODE = "SYNC";  parameter MULT9_MODE = "DISABLED";
  parameter FORCE_ZERO_BARREL_SHIFT = "DISABLED";  parameter LEGACY = "DISABLED";

  wire [35:0] ma = {MA35, MA34, MA33, MA32, MA31, MA30, MA29, MA28, MA27, MA26, MA25, MA24, MA23, MA22, MA21, MA20, MA19, MA18, MA17, MA16, MA15, MA14, MA13,
    MA12, MA11, MA10, MA9, MA8, MA7, MA6, MA5, MA4, MA3, MA2, MA1, MA0};
  wire [35:0] mb = {MB35, MB34, MB33, MB32, MB31, MB30, MB29, MB28, MB27, MB26, MB25, MB24, MB23, MB22, MB21, MB20, MB19, MB18, MB17, MB16, MB15, MB14, MB13,
    MB12, MB11, MB10, MB9, MB8, MB7, MB6, MB5, MB4, MB3, MB2, MB1, MB0};
  wire [53:0] c = {C53, C52, C51, C50, C49, C48, C47, C46, C45, C44, C43, C42, C41, C40, C39, C38, C37, C36, C35, C34, C33, C32, C31, C30, C29, C28, C27, C26,
    C25, C24, C23, C22, C21, C20, C19, C18, C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0};
  wire [10:0] op = {OP10, OP9, OP8, OP7, OP6, OP5, OP4, OP3, OP2, OP1, OP0};
  localparam KNOWN = REG_OPCODEOP0_0_CLK == "NONE" && REG_OPCODEOP1_0_CLK == "NONE" && REG_OPCODEOP0_1_CLK == "NONE"
    && REG_OPCODEOP1_1_CLK == "NONE" && REG_OPCODEIN_0_CLK == "NONE" && REG_OPCODEIN_1_CLK == "NONE" && REG_INPUTC0_CLK == REG_INPUTC1_CLK
    && REG_OUTPUT0_CLK == REG_OUTPUT1_CLK && (REG_INPUTC0_CLK == "NONE" || REG_INPUTC0_CLK == "CLK0")
    && (REG_OUTPUT0_CLK == "NONE" || REG_OUTPUT0_CLK == "CLK0") && RESETMODE == "SYNC" && MULT9_MODE == "DISABLED";

  wire [53:0] held, r;
  mantissa_dsp_register #(.WIDTH(54), .PRESENT(REG_INPUTC0_CLK != "NONE")) rc(CLK0, CE0, RST0, c, held);
  wire [53:0] operand_a = op[1:0] == 2'b01 ? {{18{SIGNEDIA & ma[35]}}, ma} : op[1:0] == 2'b11 ? 54'd0 : 54'bx;
  wire [53:0] operand_b = op[3:2] == 2'b01 ? {{18{SIGNEDIB & mb[35]}}, mb} : op[3:2] == 2'b11 ? 54'd0 : 54'bx;
  wire [53:0] operand_c = op[6:4] == 3'b000 ? 54'd0 : op[6:4] == 3'b011 ? held : 54'bx;
  wire [53:0] sum = KNOWN && op[10:7] == 4'b0100 ? operand_a + operand_b + operand_c : 54'bx;
  mantissa_dsp_register #(.WIDTH(54), .PRESENT(REG_OUTPUT0_CLK != "NONE")) ro(CLK0, CE0, RST0, sum, r);
  assign {R53, R52, R51, R50, R49, R48, R47, R46, R45, R44, R43, R42, R41, R40, R39, R38, R37, R36, R35, R34, R33, R32, R31, R30, R29, R28, R27, R26,
    R25, R24, R23, R22, R21, R20, R19, R18, R17, R16, R15, R14, R13, R12, R11, R10, R9, R8, R7, R6, R5, R4, R3, R2, R1, R0} = r;
endmodule
