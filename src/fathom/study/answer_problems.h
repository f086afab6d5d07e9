// What a model says to problems in words.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fathom/data/tokenizer.h"
#include "fathom/data/word_problems.h"
#include "fathom/model/next_token_model.h"
#include "fathom/study/tables/problem_table.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

struct AnswerOptions {
  std::string prompt_end;      // behind each question
  int64_t answer_tokens = 32;  // that are looked at
  int64_t batch_size = 32;     // problems that are answered side by side
  at::Device device = at::kCPU;
  Precision dtype = Precision::kFloat32;
  // Of a model with shift tokens the text's vocabulary (ScoreChoicesOptions).
  std::optional<int64_t> shifted_vocab = {};
  std::function<void(size_t done)> progress = {};  // problems, after those of a batch
};

// Those whose questions have tokens in this vocabulary; the others are counted. Throws Error where
// there are none.
std::vector<WordProblem> readable_problems(const Tokenizer& tokenizer,
                                           const std::vector<WordProblem>& problems,
                                           const std::string& prompt_end, PassedOver& unreadable);

// Each question is gone on with greedily. `seen`: tokens that the model sees at once; of what is
// longer, the last ones. Throws Error for a question that has no tokens in this vocabulary, with
// its place or else its number.
std::vector<ProblemAnswer> answer_problems(const NextTokenModel& model, const Tokenizer& tokenizer,
                                           const std::vector<WordProblem>& problems, int64_t seen,
                                           const AnswerOptions& options);

}  // namespace fathom
