#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/data/tokenizer_json.h"
#include "fathom/exchange/gpt2_config.h"
#include "fathom/exchange/gpt2_tensors.h"
#include "fathom/exchange/hugging_face.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/canonical_wiring.h"
#include "fathom/model/spec/model_config.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

// What such a folder may hold, so that nothing else is removed with it.
const std::set<std::string>& known_files() {
  static const std::set<std::string> files = {
      "config.json", "model.safetensors", "tokenizer.json",        "tokenizer_config.json",
      "vocab.json",  "merges.txt",        "fathom_tokenizer.json", "generation_config.json"};
  return files;
}

void check_place(const std::string& folder, bool replace) {
  const PathKind kind = kind_of(folder);
  if (kind == PathKind::kNothing) return;
  if (kind != PathKind::kFolder)
    misuse(fmt::format("{} is a file, not a folder", in_quotes(folder)), "choose another folder");
  std::error_code error;
  bool empty = true;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    empty = false;
    const std::string name = it->path().filename().string();
    if (replace && known_files().count(name) == 0)
      misuse(fmt::format("{} holds {}, which no export has written, and would be replaced whole",
                         folder, in_quotes(name)),
             "choose another folder");
  }
  if (error) fail_system("list", folder, error.value());
  if (!empty && !replace)
    misuse(fmt::format("{} is there already", in_quotes(folder)),
           "choose another folder, or --force replaces it");
}

std::optional<int64_t> end_of_text(const std::optional<BpeVocabulary>& vocabulary) {
  if (!vocabulary) return {};
  const auto& specials = vocabulary->specials;
  const auto found = std::find(specials.begin(), specials.end(), kEndOfText);
  if (found == specials.end()) return {};
  return static_cast<int64_t>(vocabulary->tokens.size()) + (found - specials.begin());
}

// Its files as name and content.
std::vector<std::pair<std::string, std::string>> tokenizer_files(
    const nlohmann::json& tokenizer, const std::optional<BpeVocabulary>& vocabulary,
    int64_t block_size) {
  if (!vocabulary) return {{"fathom_tokenizer.json", json_text(tokenizer) + "\n"}};
  nlohmann::json config = {{"tokenizer_class", "GPT2Tokenizer"},
                           {"add_prefix_space", false},
                           {"model_max_length", block_size}};
  if (end_of_text(vocabulary))
    for (const char* key : {"bos_token", "eos_token", "unk_token"}) config[key] = kEndOfText;
  return {{"tokenizer.json", tokenizer_json_text(*vocabulary)},
          {"tokenizer_config.json", json_text(config, 2) + "\n"},
          {"vocab.json", vocab_json_text(*vocabulary)},
          {"merges.txt", merges_text(*vocabulary)}};
}

// Of one checkpoint, steady while it is read.
ExportReport write_folder(const std::string& checkpoint, const std::string& folder) {
  ExportReport report;
  const RunState state = load_state(checkpoint);
  const BackboneConfig& b = state.config.model.backbone;
  const std::vector<std::string> beyond = beyond_gpt2(state.config.model);
  if (!beyond.empty())
    misuse(fmt::format("{} is not a GPT-2 as Hugging Face's layout has it: {}", checkpoint,
                       join(beyond, ", ")),
           "train a model without these keys; `fathom export RUN --metrics=csv` takes any run");
  std::optional<BpeVocabulary> vocabulary;
  if (state.tokenizer != nullptr) vocabulary = vocabulary_of(*state.tokenizer);

  const auto write = [&](const std::string& name, const std::string& content) {
    write_file_durably(folder + "/" + name, as_bytes(content));
    report.files.push_back(name);
  };
  write("config.json", gpt2_config_text(b, state.vocab_size, end_of_text(vocabulary)));
  const std::string weights = checkpoint + "/model.safetensors";
  const auto file = std::make_shared<const SafetensorsFile>(SafetensorsFile::open(weights));
  write_made_safetensors(folder + "/model.safetensors",
                         tensors_for_hugging_face(file, weights, b, state.vocab_size),
                         {{"format", "pt"}});
  report.files.emplace_back("model.safetensors");
  if (!b.bias)
    report.notices.emplace_back(
        "the model has no biases and the layout has: they are written as zeros");
  if (state.tokenizer == nullptr) {
    report.notices.emplace_back("the run knows no tokenizer, so none is written");
  } else {
    for (const auto& [name, content] : tokenizer_files(*state.tokenizer, vocabulary, b.block_size))
      write(name, content);
    if (!vocabulary)
      report.notices.emplace_back(
          "its tokenizer is over characters, which tokenizer.json cannot tell: "
          "fathom_tokenizer.json has it");
  }
  std::sort(report.files.begin(), report.files.end());
  return report;
}

bool is_gpt2(const Wiring& wiring) {
  return to_text(canonical(wiring)) == to_text(canonical(pre_norm_wiring()));
}

}  // namespace

std::vector<std::string> beyond_gpt2(const ModelConfig& model) {
  std::vector<std::string> beyond;
  if (model.architecture != nullptr)
    beyond.push_back(fmt::format("the experiment {}", model.architecture->name));
  ModelConfig given = model, plain;
  plain.backbone = model.backbone;
  plain.backbone.head_bias = false;
  plain.backbone.block_style = BlockStyle::kGpt2;
  plain.backbone.scale_embeddings = false;
  // Scores that are multiplied; how its weights began does not shape a model otherwise.
  if (model.backbone.init == Init::kTakase && model.backbone.tie_head)
    plain.backbone.init = Init::kGpt2;
  if (!model.looping.loops()) plain.looping = model.looping;
  if (model.wiring.has_wiring() && is_gpt2(typed_wiring(model.wiring)))
    plain.wiring.wiring = model.wiring.wiring;
  // How layers were trained does not shape what the last one answers.
  plain.supervision = model.supervision;
  given.architecture = nullptr;
  FieldList ours, theirs;
  add_fields(ours, given);
  add_fields(theirs, plain);
  for (const Field& field : ours.all()) {
    const Value value = field.value();
    if (value != theirs.find(field.name())->value())
      beyond.push_back(fmt::format("{} = {}", field.name(), to_literal(value)));
  }
  return beyond;
}

ExportReport export_hugging_face(const std::string& checkpoint, const std::string& folder,
                                 bool replace) {
  check_place(folder, replace);
  std::string place = folder;
  while (place.size() > 1 && place.back() == '/') place.pop_back();
  const std::string parent = fs::path(place).parent_path().string();
  if (!parent.empty()) make_folders(parent);
  ExportReport report;
  StagedFolder staged(place);
  read_checkpoint(checkpoint, [&](const std::string& steady) {
    for (const auto& entry : fs::directory_iterator(staged.path())) fs::remove(entry.path());
    report = write_folder(steady, staged.path());
  });
  staged.commit();
  return report;
}

}  // namespace fathom
