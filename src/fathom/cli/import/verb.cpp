#include <fmt/format.h>

#include <utility>

#include "fathom/base/text.h"
#include "fathom/cli/import/request.h"
#include "fathom/cli/verbs.h"
#include "fathom/config/path_text.h"
#include "fathom/exchange/hugging_face.h"
#include "fathom/exchange/imported_run.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/track/console.h"
#include "fathom/track/run_folder.h"

namespace fathom {
namespace {

void print_summary(const ImportRequest& request, const RunState& state,
                   const ImportedModel& model) {
  const BackboneConfig& b = model.backbone;
  const auto parameters =
      static_cast<double>(parameter_count(parameter_table(state.config.model, state.vocab_size)));
  const std::string folder = shell_word(run_folder(request.run_name));
  fmt::print("{}: {} parameters, {} layers, {} heads, {} wide, context {}, vocabulary {}, {}\n",
             request.run_name, human_count(parameters), b.n_layer, b.n_head, b.n_embd, b.block_size,
             with_commas(state.vocab_size),
             model.tokenizer == nullptr ? "no tokenizer"
                                        : "tokenizer of the kind " + model.tokenizer_kind);
  if (model.tokenizer != nullptr)
    fmt::print("`fathom generate {}` writes text with it\n", request.run_name);
  fmt::print(
      "`fathom train {} {}/config.toml --initial_model={} --run_name=NAME --dataset=CORPUS` goes "
      "on from its weights\n",
      request.exp, folder, request.run_name);
}

int run_import(const Arguments& arguments) {
  const std::optional<ImportRequest> request = parse_import(arguments);
  if (!request) return 0;
  const ImportedModel model = read_hugging_face(request->folder);
  RunState state = imported_state(model, request->exp);
  state.config.data.dataset = request->dataset;
  for (const std::string& notice : model.notices) say_note(notice);
  const std::string path = run_folder(request->run_name);
  RunFolder folder = request->force ? RunFolder::replace(path) : RunFolder::claim(path);
  try {
    write_imported_run(folder, request->run_name, request->force, state, model);
  } catch (...) {
    folder.abandon();
    throw;
  }
  print_summary(*request, state, model);
  return 0;
}

}  // namespace

Verb verb_import() {
  return {"import", "a run of a GPT-2 in Hugging Face's layout", 110, run_import};
}

}  // namespace fathom
