// What a decoder asks of a model: scores of a text's next token, with what was computed before.
//
// B sequences, T positions, N rows that are asked, V vocabulary.
#pragma once

#include "fathom/model/model.h"
#include "fathom/model/spec/halting_config.h"

namespace fathom {

class Rows;
class WalkCache;  // walk/walk_cache.h

struct Policy;  // spec/policy.h

// How scores are asked for.
struct Asked {
  Exit exit = Exit::kFirstConfident;
  int64_t last = 1;  // of how many rows of each sequence, its last ones
  // What the sequences had before the rows, to be seen and added to; null: nothing.
  WalkCache* cache = nullptr;
  const Policy* policy = nullptr;  // null: the model's own
  RandomField random{0, 0, 0};     // of doors that draw; its first sequence is the rows' first
};

// N = B * last, the rows asked of the first sequence first.
struct NextToken {
  Tensor scores_NV;      // of the token after each row; zeros for a row that is not there
  Tensor layer_N;        // number of the layer that answered, int64, on the processor; -1: no row
  int64_t computed = 0;  // blocks that rows went through,
  int64_t dense = 0;     // and that they would have gone through if none had left
  double flops = 0;      // of what was really computed
};

class NextTokenModel : public Model {
 public:
  using Model::Model;

  std::string answers() const override { return "the next token"; }
  const NextTokenModel* next_token_model() const override { return this; }

  // The last layer's next-token scores at every position (B, T, V), no dropout.
  virtual Tensor logits(const Tensor& tokens_BT) const = 0;
  virtual NextToken next_token(const Rows& rows, const Asked& asked) const = 0;
  NextToken next_token(const Tensor& tokens_BT, Exit exit) const;
};

}  // namespace fathom
