#include "fathom/study/evaluation/eval_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/device.h"
#include "fathom/study/chosen_model.h"
#include "fathom/study/evaluation/eval_choices.h"
#include "fathom/study/evaluation/eval_depths.h"
#include "fathom/study/evaluation/eval_problems.h"
#include "fathom/study/evaluation/evaluation_report.h"
#include "fathom/track/console.h"
#include "fathom/track/stage_line.h"
#include "fathom/train/batches.h"
#include "fathom/train/checkpoint.h"
#include "fathom/train/recipe/plan_data.h"
#include "fathom/train/recipe/stage_data.h"
#include "fathom/train/shift_losses.h"

namespace fathom {
namespace {

// Bytes of text that the targets of the first `batches` batches stand for; 0 without a tokenizer.
double bytes_of_targets(const DataSet& source, int64_t batches, const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return 0;
  const std::vector<int64_t> bytes = bytes_by_id(*tokenizer);
  int64_t total = 0;
  Cursor cursor = source.start();
  for (int64_t i = 0; i < batches; ++i) {
    const Drawn drawn = source.next(cursor);
    cursor = drawn.after;
    for (const int64_t target : drawn.batch.targets)
      if (target >= 0) total += bytes.at(static_cast<size_t>(target));
  }
  return static_cast<double>(total);
}

// Of a run that was trained on several, one must be said.
void require_one_corpus(const EvalJob& request, const RunConfig& config) {
  const std::string& name = request.dataset.empty() ? config.data.dataset : request.dataset;
  const std::vector<std::string> parts = data_parts(name);
  if (parts.size() > 1)
    misuse(fmt::format("{} are several corpora, and eval measures one", join(parts, ", ")),
           "--dataset=" + parts.front());
}

}  // namespace

report::Report eval_run(const EvalJob& request) {
  set_threads(request.model.threads);
  const at::Device device = choose_device(request.model.device);
  const LoadedModel loaded = load_chosen(request.model, device);
  if (!request.choices.empty()) return eval_choices(request, loaded, device);
  if (!request.problems.empty()) return eval_problems(request, loaded, device);
  RunConfig config = loaded.state.config;
  if (request.numbers) config.data.numbers = *request.numbers;
  require_one_corpus(request, config);
  const Corpus corpus = open_for(loaded, request.model, config, request.dataset);
  const bool same_corpus =
      !request.numbers && is_training_corpus(corpus, loaded.state, request.dataset);

  const auto whole = whole_split(corpus, config, request.split, request.batch_size);
  const int64_t batches =
      request.max_batches > 0 ? std::min(whole->batches(), request.max_batches) : whole->batches();
  const auto at_shift = [&](int64_t shift) {
    RunConfig shifted = config;
    shifted.model.ahead.shift = shift;
    return whole_split(corpus, shifted, request.split, request.batch_size);
  };
  if (!request.loops.empty() || !request.evaluations.empty())
    return eval_depths(request, loaded, corpus.name(), at_shift, batches, device);
  StageLine progress;
  EvaluateOptions options;
  options.tokenizer = corpus.tokenizer();
  options.progress = [&](int64_t done) {
    progress.show("evaluate", static_cast<uint64_t>(done), static_cast<uint64_t>(batches));
  };
  Evaluation e = evaluate(*loaded.model, *whole, batches, device, config.training.dtype, options);
  const AheadConfig& ahead = config.model.ahead;
  if (ahead.predict_ahead && ahead.shift_losses)
    add_shift_losses(*loaded.model, ahead, at_shift, batches, device, config.training.dtype,
                     options, e);
  progress.clear();
  if (!std::isfinite(e.loss))
    fail(fmt::format("the loss of {} on {}/{} is {}: its scores go beyond what a number holds",
                     request.model.run, corpus.name(), request.split, e.loss),
         "evaluate an earlier --checkpoint, or one of a run with a lower learning_rate");

  // A loss that is not of the next token says nothing about the text's bytes.
  const bool predicts = loaded.model->next_token_model() != nullptr;
  const double bytes = predicts ? bytes_of_targets(*whole, batches, corpus.tokenizer()) : 0;
  return evaluation_report(request, loaded.state, corpus.name(), e, bytes, same_corpus);
}

}  // namespace fathom
