#include "fathom/study/evaluation/eval_problems.h"

#include <nlohmann/json.hpp>

#include "fathom/study/answer_problems.h"
#include "fathom/track/stage_line.h"

namespace fathom {

report::Report eval_problems(const EvalJob& request, const LoadedModel& loaded, at::Device device) {
  const NextTokenModel& model = next_token_model(loaded, request.model, "eval --problems");
  const Tokenizer& tokenizer = tokenizer_of(loaded, request.model, "asked problems in words");
  const RunConfig& config = loaded.state.config;
  AnswerOptions options;
  options.prompt_end = request.prompt_end;
  options.answer_tokens = request.answer_tokens;
  options.batch_size = request.batch_size;
  options.device = device;
  options.dtype = config.training.dtype;
  if (config.model.ahead.predict_ahead) options.shifted_vocab = text_vocab(loaded.state);
  ProblemTable table;
  table.run = request.model.run;
  table.file = request.problems_file;
  table.answer_tokens = request.answer_tokens;
  PassedOver unreadable;
  const std::vector<WordProblem> problems =
      readable_problems(tokenizer, request.problems, request.prompt_end, unreadable);
  StageLine progress;
  options.progress = [&](size_t done) { progress.show("answer", done, problems.size()); };
  table.answers =
      answer_problems(model, tokenizer, problems, config.model.backbone.block_size, options);
  table.no_problems = request.no_problems.lines;
  table.first_no_problem = request.no_problems.first;
  table.unreadable = unreadable.lines;
  table.first_unreadable = unreadable.first;
  report::Report report = problem_report(table);
  report.values["checkpoint"] = request.model.folder;
  report.values["step"] = loaded.state.step;
  return report;
}

}  // namespace fathom
