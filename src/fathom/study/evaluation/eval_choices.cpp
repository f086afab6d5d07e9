#include "fathom/study/evaluation/eval_choices.h"

#include <nlohmann/json.hpp>

#include "fathom/study/score_choices.h"
#include "fathom/track/stage_line.h"

namespace fathom {

report::Report eval_choices(const EvalJob& request, const LoadedModel& loaded, at::Device device) {
  const NextTokenModel& model = next_token_model(loaded, request.model, "eval --hellaswag");
  const Tokenizer& tokenizer = tokenizer_of(loaded, request.model, "asked questions in words");
  const RunConfig& config = loaded.state.config;
  ScoreChoicesOptions options;
  options.batch_size = request.batch_size;
  options.device = device;
  options.dtype = config.training.dtype;
  if (config.model.ahead.predict_ahead) options.shifted_vocab = text_vocab(loaded.state);
  ChoiceTable table;
  table.run = request.model.run;
  table.file = request.choices_file;
  StageLine progress;
  options.progress = [&](size_t done) { progress.show("score", done, request.choices.size()); };
  table.questions =
      score_choices(model, tokenizer, request.choices, config.model.backbone.block_size, options);
  report::Report report = choice_report(table);
  report.values["checkpoint"] = request.model.folder;
  report.values["step"] = loaded.state.step;
  return report;
}

}  // namespace fathom
