// `fathom dag`
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "experiments/dag/architecture.h"
#include "experiments/dag/program_report.h"
#include "experiments/dag/program_trace.h"
#include "experiments/dag/recorded.h"
#include "experiments/dag/verbs/dag/request.h"
#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/shifted.h"
#include "fathom/model/depth_model.h"
#include "fathom/model/device.h"
#include "fathom/study/asked/typed_text.h"
#include "fathom/study/chosen_model.h"
#include "fathom/track/console.h"

namespace fathom {
namespace dag {
namespace {

// Of the tokens alone, not of a shift token before them.
std::vector<TokenProgram> programs_of(const DepthModel& model, const std::vector<int64_t>& tokens,
                                      std::optional<int64_t> shift, const DagSettings& settings,
                                      bool predictor) {
  const at::NoGradGuard no_grad;
  const at::Device device = model.parameters().all().front().tensor.device();
  std::vector<int64_t> seen = tokens;
  if (shift) seen.insert(seen.begin(), *shift);
  Batch batch;
  batch.tokens_BT = index_tensor(seen, device).unsqueeze(0);
  Kept kept;
  for (const std::string& name : recorded_names(settings, predictor)) kept.keep(name);
  WalkOptions options;
  options.observe = kept.observer();
  options.read = false;
  const DepthProgram& program = model.program();
  const Trace trace = model.walk().run(program, batch, options);
  std::vector<TokenProgram> programs =
      token_programs(kept, static_cast<int>(program.steps.size()), *trace.all, settings, predictor);
  if (shift) programs.erase(programs.begin());
  return programs;
}

std::vector<int64_t> encoded(const DagRequest& request, const LoadedModel& loaded) {
  const Tokenizer& tokenizer = tokenizer_of(loaded, request.model, "asked for a text's programs");
  const std::vector<uint32_t> ids = encode_typed(tokenizer, request.text + request.behind);
  const ModelConfig& config = loaded.state.config.model;
  const int64_t most = config.backbone.block_size - (config.ahead.predict_ahead ? 1 : 0);
  if (static_cast<int64_t>(ids.size()) > most)
    misuse(fmt::format("the text has {} tokens, {} sees {} at once", ids.size(), request.model.run,
                       most),
           "give a shorter one");
  if (request.token && *request.token >= static_cast<int64_t>(ids.size()))
    misuse(
        fmt::format("token = {}, the text has the tokens 0 to {}", *request.token, ids.size() - 1),
        "--all shows all of them");
  return {ids.begin(), ids.end()};
}

int show(const DagRequest& request) {
  for (const std::string& notice : request.notices) say_note(notice);
  set_threads(request.model.threads);
  const LoadedModel loaded = load_chosen(request.model, choose_device(request.model.device));
  const auto* model = dynamic_cast<const DepthModel*>(loaded.model.get());
  if (model == nullptr) fail(fmt::format("the model of {} is no depth walk", request.model.run));
  const ModelConfig& config = loaded.state.config.model;
  const std::vector<int64_t> tokens = encoded(request, loaded);
  std::optional<int64_t> shift;
  if (config.ahead.predict_ahead) shift = shift_id(text_vocab(loaded.state), 1);
  TextPrograms programs;
  programs.run = request.model.run;
  programs.checkpoint = request.model.folder;
  programs.step = loaded.state.step;
  programs.settings = settings_of(config.own);
  programs.predictor = config.architecture->name == kPredictorName;
  for (const int64_t token : tokens) {
    const auto id = static_cast<uint32_t>(token);
    programs.tokens.push_back(loaded.tokenizer->decode({&id, 1}));
  }
  programs.programs = programs_of(*model, tokens, shift, programs.settings, programs.predictor);
  programs.behind = request.behind;
  programs.written = written_text(request.text, programs.settings);
  const size_t token = static_cast<size_t>(request.token.value_or(int64_t(tokens.size()) - 1));
  give(request.all ? programs_report(programs) : program_report(programs, token), request.output);
  return 0;
}

}  // namespace
}  // namespace dag

int run_dag_in_engine(const Arguments& arguments) {
  const auto request = dag::parse_dag(arguments);
  return request ? dag::show(*request) : 0;
}

}  // namespace fathom
