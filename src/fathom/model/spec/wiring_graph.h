// What a wiring computes, without the names and the order in which it says so: its values as a
// graph of sums, products and calls. Torch-free.
//
// Sums are sums of products and calls with factors, products have no sums of one term among their
// factors, and both are there once. A call of a part or of F is there as often as the wiring calls
// it: two calls of A cost twice.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fathom/model/spec/wiring.h"

namespace fathom {

struct ValueNode {
  enum Kind { kInput, kSum, kProduct, kCall };
  Kind kind = kInput;
  Expr::Op op = Expr::kCall;  // of a call, as `part`
  std::string name;           // of an input, of F and of a call by name
  int part = 0;
  double constant = 0;          // of a sum, beside its terms
  std::map<int, double> terms;  // of a sum: factors by node
  std::map<int, int> powers;    // of a product, by node
  std::vector<int> args;        // of a call
};

struct ValueGraph {
  std::vector<ValueNode> nodes;  // what a node is made of stands before it; all are used
  int r = 0;                     // the block's result
  int y = -1;                    // what it leaves as y; -1: the change of r, or nobody reads it
  bool complete = true;          // false: the wiring is larger than what is looked into
};

// How soon a node comes among the terms of a sum or the factors of a product.
int reading_rank(const ValueNode& node);

// Of a wiring that check_wiring() takes. `y_is_read`: by another wiring, if not by this one.
ValueGraph value_graph(const Wiring& wiring, bool y_is_read);

// Parts whose output is a product with weights of its own, which can take up a factor.
struct OutputScales {
  bool attention = true, mlp = true;
};
// Makes 1 of every factor that such a part, called once, can take up: r + 2*A(n) and r + A(n) are
// the same functions of other weights.
ValueGraph without_scales(ValueGraph graph, const OutputScales& scales);

}  // namespace fathom
