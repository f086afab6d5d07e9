#include "fathom/cli/import/request.h"

#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

std::string name_of_folder(const std::string& folder) {
  const std::filesystem::path path = std::filesystem::absolute(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

}  // namespace

std::optional<ImportRequest> parse_import(const Arguments& arguments) {
  CommandLine line("import", "FOLDER [--run_name=NAME] [--key=value ...]",
                   "Make a run of a GPT-2 in Hugging Face's layout: config.json, model.safetensors "
                   "and tokenizer.json, or vocab.json and merges.txt. docs/import.md says how "
                   "nanoGPT's checkpoints become such a folder.",
                   "fathom import models/gpt2 --run_name=gpt2");
  ImportRequest request;
  line.positional("FOLDER", request.folder, "the model's folder; it is only read");
  FieldList list;
  list.section("import");
  list.add("run_name", request.run_name, "folder below runs/; empty: the name of FOLDER");
  list.add("exp", request.exp, "a preset of a plain GPT-2, whose training settings the run gets")
      .suggests(suggested_presets);
  list.add("dataset", request.dataset,
           "the corpus that eval and trace look at unless they are given one")
      .path()
      .suggests(suggested_corpora);
  list.add("force", request.force, "remove a run of the same name first");
  if (!parse_into(line, arguments, list)) return std::nullopt;
  if (request.folder.empty())
    misuse("FOLDER is \"\", and no folder is called so", "give the path of the model's folder");
  if (request.run_name.empty()) request.run_name = name_of_folder(request.folder);
  registry().preset(request.exp);  // throws for an unknown one
  check_place(request);
  return request;
}

}  // namespace fathom
