#include <fmt/format.h>

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/tokenizer_json.h"
#include "fathom/exchange/gpt2_config.h"
#include "fathom/exchange/gpt2_tensors.h"
#include "fathom/exchange/hugging_face.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/train/recipe/registry.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

bool has_file(const fs::path& path) {
  return kind_of(path.string()) == PathKind::kFile;
}

void require_folder(const std::string& folder) {
  const PathKind kind = kind_of(folder);
  if (kind == PathKind::kNothing)
    misuse(fmt::format("there is no folder {}", in_quotes(folder)),
           "give the folder that has config.json and model.safetensors");
  if (kind != PathKind::kFolder)
    misuse(fmt::format("{} is not a folder", in_quotes(folder)),
           "give the folder that has config.json and model.safetensors");
  for (const char* file : {"config.json", "model.safetensors"}) {
    if (has_file(fs::path(folder) / file)) continue;
    const bool pickled =
        has_file(fs::path(folder) / "pytorch_model.bin") || has_file(fs::path(folder) / "ckpt.pt");
    const bool cut = has_file(fs::path(folder) / "model.safetensors.index.json");
    misuse(fmt::format("{} has no {}", folder, file),
           pickled ? "pickles are never read: docs/import.md has a converter that you run where "
                     "the model was made"
           : cut   ? "weights in several files are not read: save them again as one"
                   : "it is no folder in Hugging Face's layout");
  }
}

std::unique_ptr<Tokenizer> read_tokenizer(const fs::path& folder) {
  const auto text = [](const fs::path& path) {
    return read_text_file(path.string(), kMaxTokenizerBytes);
  };
  if (const fs::path own = folder / "fathom_tokenizer.json"; has_file(own)) {
    try {
      return Tokenizer::from_json(parse_json(text(own), own.string()));
    } catch (const SystemError&) {
      throw;
    } catch (const Error& e) {
      const std::string what = e.what();
      fail(what.rfind(own.string(), 0) == 0 ? what : fmt::format("{}: {}", own.string(), what),
           e.hint());
    }
  }
  if (const fs::path one = folder / "tokenizer.json"; has_file(one))
    return make_tokenizer_of(read_tokenizer_json(text(one), one.string()));
  const fs::path vocab = folder / "vocab.json", merges = folder / "merges.txt";
  if (has_file(vocab) && has_file(merges))
    return make_tokenizer_of(read_vocab_and_merges(text(vocab), text(merges), vocab.string()));
  return nullptr;
}

}  // namespace

ImportedModel read_hugging_face(const std::string& folder) {
  require_folder(folder);
  ImportedModel model;
  const std::string config = (fs::path(folder) / "config.json").string();
  model.backbone = read_gpt2_config(read_text_file(config, kMaxConfigJsonBytes), config).backbone;
  const std::string weights = (fs::path(folder) / "model.safetensors").string();
  const auto file = std::make_shared<const SafetensorsFile>(SafetensorsFile::open(weights));
  model.tensors = tensors_from_hugging_face(file, weights, model.backbone);
  const std::unique_ptr<Tokenizer> tokenizer = read_tokenizer(folder);
  model.tokenizer_kind = tokenizer == nullptr ? "none" : tokenizer->kind();
  if (tokenizer == nullptr) {
    model.notices.push_back(
        fmt::format("{} has no tokenizer: texts cannot be generated or traced with it", folder));
    return model;
  }
  if (tokenizer->vocab_size() > *model.backbone.vocab_size)
    fail(fmt::format("{}: the tokenizer has {} tokens, the model {}", folder,
                     tokenizer->vocab_size(), *model.backbone.vocab_size),
         "take the tokenizer that the model was trained with");
  model.tokenizer = std::make_shared<const nlohmann::json>(tokenizer->to_json());
  return model;
}

RunState imported_state(const ImportedModel& model, const std::string& preset) {
  RunState state;
  state.config = preset_config(preset);
  state.config.data.dataset.clear();  // what it was trained on nobody says
  const Init init = state.config.model.backbone.init;
  state.config.model.backbone = model.backbone;
  state.config.model.backbone.init = init;
  const std::vector<std::string> beyond = beyond_gpt2(state.config.model);
  if (!beyond.empty())
    misuse(fmt::format("{} is no preset of a plain GPT-2: {}", preset, join(beyond, ", ")),
           "--exp=gpt2 is one");
  validate(state.config.model);
  state.vocab_size = *model.backbone.vocab_size;
  state.best_metric = "eval/val/loss";
  state.best_value = std::numeric_limits<double>::infinity();
  state.tokenizer = model.tokenizer;
  state.losses = OutlierWindow(state.config.guards.spike_window);
  state.gradient_norms = OutlierWindow(state.config.guards.spike_window);
  return state;
}

void write_imported(CheckpointWriter& writer, const RunState& state, const ImportedModel& model) {
  write_made_safetensors(writer.file("model.safetensors"), model.tensors);
  write_file_durably(writer.file("state.json"), as_bytes(json_text(to_json(state), 1) + "\n"));
}

}  // namespace fathom
