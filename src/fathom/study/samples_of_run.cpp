#include "fathom/study/samples_of_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/shift.h"
#include "fathom/study/training_samples.h"

namespace fathom {

SampleLines samples_of(const TrainRequest& request, Trainer& trainer) {
  const TrainingConfig& t = request.config.training;
  if (sample_interval(t) == 0 || request.options.quiet) return {};
  const auto* model = dynamic_cast<const DepthModel*>(&trainer.model());
  if (model == nullptr || model->next_token_model() == nullptr) {
    if (t.sample_interval)
      misuse(fmt::format("sample_interval = {}, but the model {}", *t.sample_interval,
                         model == nullptr ? "is no depth walk" : "answers " + model->answers()),
             "leave it out");
    return {};
  }
  const RunState& state = trainer.state();
  const AheadConfig& ahead = request.config.model.ahead;
  const int64_t vocab = ahead.predict_ahead ? ahead.text_vocab(state.vocab_size) : state.vocab_size;
  const Tokenizer* tokenizer = request.corpus.tokenizer();
  const int64_t text_tokens =
      tokenizer == nullptr ? vocab : std::min(vocab, tokenizer->vocab_size());
  std::optional<int64_t> shift;
  if (ahead.predict_ahead) shift = shift_id(vocab, 1);
  std::optional<std::string> prompt;
  if (!t.sample_prompt.empty()) prompt = t.sample_prompt;
  const auto samples =
      std::make_shared<const TrainingSamples>(*model, tokenizer, text_tokens, prompt, shift);
  const bool is_notebook = t.log_format == LogFormat::kNotebook;
  return [samples, is_notebook](int64_t step) {
    std::vector<std::string> lines = is_notebook ? samples->notebook() : samples->plain();
    if (!is_notebook) lines.front() = fmt::format("step {} {}", with_commas(step), lines.front());
    return lines;
  };
}

}  // namespace fathom
