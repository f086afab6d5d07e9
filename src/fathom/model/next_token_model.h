// What a decoder asks of a model: scores of a text's next token, with what was computed before.
//
// B sequences, T positions, V vocabulary.
#pragma once

#include "fathom/model/model.h"
#include "fathom/model/spec/halting_config.h"

namespace fathom {

class Rows;
class WalkCache;  // walk/walk.h

struct NextToken {
  Tensor scores_BV;      // of the token after the last one; zeros for a sequence without rows
  Tensor layer_B;        // number of the layer that answered, int64, on the processor; -1: no rows
  int64_t computed = 0;  // blocks that rows went through,
  int64_t dense = 0;     // and that they would have gone through if none had left
};

class NextTokenModel : public Model {
 public:
  using Model::Model;

  std::string answers() const override { return "the next token"; }
  const NextTokenModel* next_token_model() const override { return this; }

  // The last layer's next-token scores at every position (B, T, V), no dropout.
  virtual Tensor logits(const Tensor& tokens_BT) const = 0;
  // `cache`: what the sequences had before `rows`, to be seen and added to; null: nothing.
  virtual NextToken next_token(const Rows& rows, Exit exit, WalkCache* cache) const = 0;
  NextToken next_token(const Tensor& tokens_BT, Exit exit) const;
};

}  // namespace fathom
