#include "fathom/study/score_choices.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/data/shifted.h"
#include "fathom/train/batches.h"

namespace fathom {
namespace {

// Of each row, ln p of its targets together.
std::vector<double> ln_p_of_rows(const NextTokenModel& model, TokenBatch rows,
                                 const ScoreChoicesOptions& options) {
  const auto B = static_cast<size_t>(rows.B);
  if (options.shifted_vocab)
    rows = shifted_rows(rows, std::vector<int64_t>(B, 1), *options.shifted_vocab);
  const ModelOutput output = model.forward(to_batch(rows, options.device), Pass());
  const LossPart& loss = output.loss;
  if (!loss.sum_B.defined() || loss.sum_B.numel() != rows.B)
    fail("the model does not tell what each of several texts costs",
         "choose among endings with a model whose loss is of the next token");
  const Tensor sum_B = loss.sum_B.to(at::kCPU, at::kDouble).contiguous();
  std::vector<double> ln_p(sum_B.data_ptr<double>(), sum_B.data_ptr<double>() + B);
  for (double& x : ln_p) x = -x;
  return ln_p;
}

ChoiceScore begun_score(const Choice& choice, const ChoiceRows& rows) {
  ChoiceScore score;
  score.label = choice.label;
  score.cut = rows.cut;
  for (const ChoiceRows::Row& row : rows.rows)
    score.tokens.push_back(static_cast<int64_t>(row.tokens.size() - row.ending_at));
  return score;
}

}  // namespace

std::vector<ChoiceScore> score_choices(const NextTokenModel& model, const Tokenizer& tokenizer,
                                       const std::vector<Choice>& choices, int64_t seen,
                                       const ScoreChoicesOptions& options) {
  const at::NoGradGuard no_grad;
  const Autocast autocast(options.dtype, options.device);
  const int64_t own = seen - (options.shifted_vocab ? 1 : 0);
  const auto name_of = [&](size_t i) {
    return choices[i].place.empty() ? fmt::format("question {}", i + 1) : choices[i].place;
  };
  std::vector<ChoiceScore> scores;
  std::vector<ChoiceRows::Row> waiting;
  size_t scored = 0;  // of scores, those with their ln p
  const auto score_waiting = [&] {
    const std::vector<double> ln_p = ln_p_of_rows(model, choice_batch(waiting), options);
    for (size_t row = 0; scored < scores.size(); ++scored) {
      ChoiceScore& score = scores[scored];
      for (size_t i = 0; i < score.tokens.size(); ++i, ++row) {
        if (!std::isfinite(ln_p[row]))
          fail(fmt::format("{}: ln p of ending {} is {}", name_of(scored), i, ln_p[row]),
               "its scores go beyond what a number holds: take an earlier --checkpoint");
        score.ln_p.push_back(ln_p[row]);
      }
    }
    waiting.clear();
    if (options.progress) options.progress(scored);
  };
  for (size_t i = 0; i < choices.size(); ++i) {
    ChoiceRows rows = choice_rows(tokenizer, choices[i], own, name_of(i));
    const auto together = static_cast<int64_t>(waiting.size() + rows.rows.size());
    if (!waiting.empty() && together > options.batch_size) score_waiting();
    scores.push_back(begun_score(choices[i], rows));
    std::move(rows.rows.begin(), rows.rows.end(), std::back_inserter(waiting));
  }
  if (!waiting.empty()) score_waiting();
  return scores;
}

}  // namespace fathom
