// Several texts that grow token by token, with the keys and values of what was computed before.
#pragma once

#include <vector>

#include "fathom/decode/window.h"
#include "fathom/model/next_token_model.h"
#include "fathom/model/walk/random_field.h"
#include "fathom/model/walk/walk_cache.h"
#include "fathom/ops/kept_weights.h"
#include "fathom/ops/tensor_pool.h"

namespace fathom {

class Decoder {
 public:
  // Texts begin with at least one token each and may differ in length. The model must outlive the
  // decoder. Throws Error(kUsage) for a text that is longer than a window that ends with it
  // (Overflow::kStop).
  // `random`: of models whose doors draw; its first sequence is the number of the first text, whose
  // numbers are then the same beside any other texts.
  Decoder(const NextTokenModel& model, std::vector<std::vector<int64_t>> texts, Window window,
          RandomField random = {0, 0, 0});

  struct Question {
    Exit exit = Exit::kFirstConfident;
    int64_t last = 1;  // after how many of each text's tokens, its last ones, as Asked::last
    const Policy* policy = nullptr;  // as Asked::policy
    std::vector<size_t> texts = {};  // who is asked; empty: all
  };
  // Scores of each text's next token. Computes what was appended since the last call, and the whole
  // window of a text that has slid. A text that is_full() or is not asked has zeros and layer -1;
  // not all may be. Without a graph, and of tensors that can be in none (c10::InferenceMode).
  NextToken next(const Question& question);
  NextToken next(Exit exit) { return next(Question{exit}); }
  void append(size_t text, int64_t token);
  // The text's first `length` tokens stay, at least one.
  void truncate(size_t text, int64_t length);
  // Its first tokens whose keys are there and would be kept by the next call.
  int64_t known(size_t text) const;
  // What was computed of its tokens from this one on is gone, and the tokens stay.
  void forget_from(size_t text, int64_t token);

  const std::vector<int64_t>& tokens(size_t text) const { return texts_[text].tokens; }
  // No further token can be asked for.
  bool is_full(size_t text) const;
  const WalkCache& cache() const { return cache_; }

 private:
  struct Text {
    std::vector<int64_t> tokens;
    int64_t start = 0;  // Window::start when `known` was computed
    int64_t known = 0;  // tokens whose keys are in the cache, as an end in `tokens`
  };
  int64_t size(const Text& text) const { return static_cast<int64_t>(text.tokens.size()); }
  void take_new(size_t text, std::vector<int64_t>& rows, int64_t& first_position);

  const NextTokenModel& model_;
  std::vector<Text> texts_;
  Window window_;
  RandomField random_;
  WalkCache cache_;
  KeptWeights weights_{KeptWeights::kNoLimit};
  TensorPool tensors_;
};

}  // namespace fathom
