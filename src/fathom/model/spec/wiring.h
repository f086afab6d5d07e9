// How a block joins attention, MLP and residual stream: assignments over a token's values, as data.
//
//   r = r + A(n); r = r + M(N(r))
//
// Names: r, the raw residual stream (must be assigned); n, its norm at the block's door; y, what
// the previous block added (zero at the start; may be assigned, else it is the change of r); and
// temporaries. A[k], M[k], N[k] are the block's k-th attention, MLP and norm; A(x, v) takes its
// values from v; F.name(x, ...) is a function of an experiment's own, of each row by itself.
// Torch-free.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace fathom {

struct WireExpr {
  enum Op {
    kName,
    kNumber,
    kAdd,
    kSubtract,
    kMultiply,
    kAttention,
    kMlp,
    kNorm,
    kSigmoid,
    kMean,
    kFunction,
  };
  Op op = kNumber;
  std::string name;            // of kName and kFunction
  double number = 0;           // of kNumber
  int part = 0;                // k of A[k], M[k], N[k]
  std::vector<WireExpr> args;  // two for + - *, one or two for A, any for F, else one
};

struct WireStatement {
  std::string target;
  WireExpr value;
};

struct Wiring {
  std::vector<WireStatement> statements;
};

// What a wiring calls and reads.
struct WiringParts {
  int attentions = 0, mlps = 0, norms = 0;  // the largest k + 1, or 0
  int attention_calls = 0;                  // each keeps keys and values of its own
  std::vector<int> calls_of_attention, calls_of_mlp, calls_of_norm;  // by part
  std::set<std::string> functions;                                   // by name
  bool reads_y = false;
  // No attention is given what an attention before it in the block has made: a row that asks
  // nothing has its keys without any.
  bool keys_alone = true;
  std::vector<bool> makes_keys;  // by statement: a later key is made of its value
};

// Checks the tree: known names, r assigned, parts numbered without gaps, values of a shape that the
// operation takes. Shapes are numbers, (rows, 1) as of mean(x), and (rows, C). Throws Error(kUsage)
// with the statement.
WiringParts check_wiring(const Wiring& wiring);

// Canonical text, which is the tree: equal trees print alike, and others do not.
std::string to_text(const Wiring& wiring);

// GPT-2's block: r = r + A(n); r = r + M(N(r)).
Wiring pre_norm_wiring();

// Builders: wire::name("r") + wire::attention(wire::name("n")).
namespace wire {
WireExpr name(std::string name);
WireExpr number(double number);
WireExpr attention(WireExpr x, int part = 0);
WireExpr attention(WireExpr x, WireExpr values, int part = 0);
WireExpr mlp(WireExpr x, int part = 0);
WireExpr norm(WireExpr x, int part = 0);
WireExpr sigmoid(WireExpr x);
WireExpr mean(WireExpr x);  // over channels
WireExpr function(std::string name, std::vector<WireExpr> args);
}  // namespace wire
WireExpr operator+(WireExpr a, WireExpr b);
WireExpr operator-(WireExpr a, WireExpr b);
WireExpr operator*(WireExpr a, WireExpr b);

}  // namespace fathom
