// How a block joins attention, MLP and residual stream: assignments over a token's values, as data.
//
//   r = r + A(n); r = r + M(N(r))
//
// Names: r, the raw residual stream (must be assigned); n, its norm at the block's door; y, what
// the previous block added (zero at the start; may be assigned, else it is the change of r); pos,
// the position's row of the table of positions; and temporaries. A[k], M[k], N[k] are the block's
// k-th attention, MLP and norm; A(x, v) takes its values from v, and A(x, keys, v) its keys from
// `keys`; sigmoid(x), and mean(x) and sum(x) over the channels; F.name(x, ...) is a function of an
// experiment's own, of each row by itself. Only A sees other positions, and it is causal: no wiring
// reads the future. Torch-free.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/model/spec/expression.h"

namespace fathom {

struct Wiring {
  std::vector<Statement> statements;
};

// What a wiring calls and reads.
struct WiringParts {
  int attentions = 0, mlps = 0, norms = 0;  // the largest k + 1, or 0
  int attention_calls = 0;                  // each keeps keys and values of its own
  std::vector<int> calls_of_attention, calls_of_mlp, calls_of_norm;  // by part
  std::set<std::string> functions;                                   // by name
  bool reads_y = false;                                              // of the block before
  bool names_pos = false;  // somewhere; and in what r or a read y is made of
  bool reads_pos = false;
  // No attention has keys or values of what an attention before it in the block has made: a row
  // that asks nothing has its keys without any.
  bool keys_alone = true;
  std::vector<bool> makes_keys;  // by statement: a later key is made of its value
  // By statement: neither r nor, where the wiring reads it, y is made of its value. Only who
  // observes the walk sees it.
  std::vector<bool> unread;
};

// Of a call of A: the first argument that keys are made of; the last one is what values are.
size_t first_key_argument(const Expr& attention);

// Checks the tree: known names, r assigned, parts numbered without gaps, values of a shape that the
// operation takes. Shapes are numbers, (rows, 1) as of mean(x) and sum(x), and (rows, C); what a
// value is divided by is a number and not 0. Throws Error(kUsage) with the statement, and the
// column if the wiring was parsed.
WiringParts check_wiring(const Wiring& wiring);

// By part A[k]: whether its scores compare queries with keys (AttentionSpec::compares). Of those
// that do not, the calls with their values alone.
Wiring without_queries(Wiring wiring, const std::vector<bool>& compares);
// Throws Error(kUsage) for a part that is called for such queries or keys alone: its parameters
// would never learn.
void require_read_queries(const Wiring& wiring, const std::vector<bool>& compares);

// The text of a wiring (expression.h has the grammar), parsed and checked; and each part that it
// calls has to be read somewhere, else its parameters would never learn. `what` begins the message
// of the Error(kUsage) for what does not parse.
Wiring parse_wiring(std::string_view text, const std::string& what = "wiring");

// The text of the tree, which reads back as the same tree.
std::string to_text(const Wiring& wiring);

// GPT-2's block: r = r + A(n); r = r + M(N(r)).
Wiring pre_norm_wiring();

}  // namespace fathom
