// state.json of a checkpoint: raw, or members that override those of a sound one, of its
// configuration, its guards or its place in the data.
#include <nlohmann/json.hpp>

#include "fathom/train/recipe/run_state.h"

#include "fathom/train/recipe/registry.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

using nlohmann::json;

// Of a sound state.json, the member `key` last and open, so that more can be written into it.
std::string open_end(const char* key) {
  RunState state;
  state.config.preset = "x";
  state.tokenizer = std::make_shared<const nlohmann::json>(nlohmann::json{{"kind", "byte"}});
  json whole = to_json(state);
  whole["config"] = {{"preset", "x"}, {"n_layer", 3}};  // the others have their defaults
  if (key == nullptr) {
    std::string text = whole.dump();
    text.pop_back();
    return text;
  }
  std::string part = whole.at(key).dump();
  part.pop_back();
  whole.erase(key);
  std::string text = whole.dump();
  text.pop_back();
  return text + ",\"" + key + "\":" + part;
}

}  // namespace

FATHOM_FUZZ(in) {
  static const Folder folder;
  static const std::string top = open_end(nullptr), config = open_end("config"),
                           guards = open_end("guards"), cursor = open_end("cursor");
  const size_t mode = in.below(5);
  std::string text = grown(in);
  if (mode > 0) {
    const std::string& start = mode == 1 ? top : mode == 2 ? config : mode == 3 ? guards : cursor;
    text = start + "," + text + (mode == 1 ? "}" : "}}");
  }
  folder.write("state.json", text);
  RunState state;
  if (!accepts(text.size(), [&] { state = load_state(folder.path()); })) return;
  require_printable(state.config.preset);
  require_printable(state.best_metric);
  const std::string saved = to_json(state).dump();
  folder.write("state.json", saved);
  const RunState again = load_state(folder.path());
  require(to_json(again).dump() == saved, "a state reads back as it was written");
}

}  // namespace fathom::fuzzing
