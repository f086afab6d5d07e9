#include "fathom/exchange/imported_run.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/config_file.h"
#include "fathom/config/path_text.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/files.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/track/console.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

std::string config_text(RunConfig config) {
  FieldList list;
  add_fields(list, config);
  return fmt::format("# {}, of an imported model\n{}", config.preset, to_toml(list));
}

// Those in the store are of a run of that name that is gone.
void forget_numbers(const std::string& run_name) {
  if (kind_of(run_store_path()) == PathKind::kFile) RunStore(run_store_path()).delete_run(run_name);
}

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

}  // namespace

void write_imported_run(RunFolder& folder, const std::string& run_name, bool clear,
                        const RunState& state, const ImportedModel& model) {
  CheckpointWriter checkpoint(folder.path() + "/checkpoints/last");
  write_imported(checkpoint, state, model);
  if (clear) folder.clear();
  forget_numbers(run_name);
  write_file_durably(folder.path() + "/config.toml", as_bytes(config_text(state.config)));
  checkpoint.commit();
}

void check_place(const ImportRequest& request) {
  const std::string folder = run_folder(request.run_name);
  const FolderUse use = folder_use(folder);
  if (use == FolderUse::kOther)
    misuse(fmt::format("{} is there and is no run", folder),
           "choose another --run_name, or move what is there away");
  if (use == FolderUse::kFree || use == FolderUse::kLeftOver || request.force) return;
  misuse(fmt::format("the run {} exists already: {}", request.run_name, folder),
         "choose another --run_name, or remove it with --force");
}

void import_run(const ImportRequest& request) {
  const ImportedModel model = read_hugging_face(request.folder);
  RunState state = imported_state(model, request.exp);
  state.config.data.dataset = request.dataset;
  for (const std::string& notice : model.notices) say_note(notice);
  const std::string path = run_folder(request.run_name);
  RunFolder folder = request.force ? RunFolder::replace(path) : RunFolder::claim(path);
  try {
    write_imported_run(folder, request.run_name, request.force, state, model);
  } catch (...) {
    folder.abandon();
    throw;
  }
  print_summary(request, state, model);
}

}  // namespace fathom
