#include "fathom/train/recipe/data_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/data/numbers/numbers_data.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/train/recipe/numbers_options.h"
#include "fathom/train/recipe/plan_data.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr uint64_t kMaxBytes = 1 << 20;

std::string normal(const fs::path& path) {
  std::error_code ignored;
  const fs::path absolute = fs::absolute(path, ignored);
  return (absolute / "").lexically_normal().parent_path().string();
}

// Nothing for a folder that is no corpus, or a damaged one: it only might have been the one.
std::optional<Corpus> open_if_sound(const std::string& folder) {
  if (kind_of(folder) != PathKind::kFolder) return std::nullopt;
  try {
    return Corpus::open(path_to_text(folder));
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string text_of(const nlohmann::json& place, const char* key, const std::string& name) {
  if (!place.is_object() || !place.contains(key) || !place.at(key).is_string())
    fail(fmt::format("{} has a place without {}", name, key),
         R"(a place is {"folder": PATH, "fingerprint": TEXT})");
  return place.at(key).get<std::string>();
}

// The folder of the corpus that `name` meant where the configuration file was written: beside the
// file, as where one worked with it, or beside the runs of a run's config.toml. Empty: there is
// none.
std::string data_beside(const std::string& config_file, const std::string& name) {
  const fs::path file = normal(config_file), path = path_from_text(name);
  if (path.empty() || path.is_absolute()) return "";
  const fs::path folder = file.parent_path();
  std::vector<std::string> folders;
  for (const fs::path& place : {folder, folder.parent_path().parent_path()})
    for (const fs::path& found : {place / "data" / path, place / path})
      folders.push_back(normal(found));
  try {
    const std::string places = (folder / kDataPlacesFile).string();
    if (kind_of(places) == PathKind::kFile) {
      const DataPlaces known = parse_data_places(read_text_file(places, kMaxBytes), places);
      if (const auto place = known.find(name); place != known.end())
        folders.insert(folders.begin(), place->second.folder);
    }
  } catch (const Error&) {  // it only helps
  }
  for (const std::string& candidate : folders)
    if (open_if_sound(candidate)) return candidate;
  return "";
}

}  // namespace

DataPlaces places_of(const std::vector<StageRun>& stages) {
  DataPlaces places;
  for (const StageRun& stage : stages) {
    std::vector<std::string> names = data_parts(stage.config.data.dataset);
    // One whose name has a comma, found where no corpus of that name is prepared.
    if (stage.corpora.size() == 1) names = {stage.config.data.dataset};
    for (size_t i = 0; i < std::min(names.size(), stage.corpora.size()); ++i)
      if (const Corpus& corpus = stage.corpora[i]; !corpus.is_generated())
        places[names[i]] = {normal(corpus.path()), corpus.fingerprint()};
  }
  return places;
}

std::string to_text(const DataPlaces& places) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, place] : places)
    json[name] = {{"folder", path_to_text(place.folder)}, {"fingerprint", place.fingerprint}};
  return json_text(json, /*indent=*/1) + "\n";
}

DataPlaces parse_data_places(const std::string& text, const std::string& name) {
  const nlohmann::json json = parse_json(text, name);
  if (!json.is_object())
    fail(name + " is no object", "a training run writes it; without it nothing is lost");
  DataPlaces places;
  for (const auto& [corpus, place] : json.items()) {
    const std::string folder = path_from_text(text_of(place, "folder", name));
    if (fs::path(folder).is_relative() || folder.find('\0') != std::string::npos)
      fail(name + " has a folder that is no absolute path", "a training run writes it");
    places[corpus] = {folder, text_of(place, "fingerprint", name)};
  }
  return places;
}

RunData::RunData(const std::string& checkpoint, const RunState& state) {
  const fs::path run = fs::path(normal(checkpoint)).parent_path().parent_path();
  beside_ = run.parent_path().parent_path().string();
  const std::string file = (run / kDataPlacesFile).string();
  try {
    if (kind_of(file) == PathKind::kFile)
      places_ = parse_data_places(read_text_file(file, kMaxBytes), file);
  } catch (const Error&) {
    places_.clear();
  }
  // Older runs have no such file. Of one corpus they know which text it was.
  const std::string& dataset = state.config.data.dataset;
  if (places_.count(dataset) > 0) return;
  const std::vector<std::string> names = data_parts(dataset);
  for (const std::string& name : names)
    places_.emplace(name, DataPlace{"", names.size() == 1 ? state.corpus_fingerprint : ""});
}

std::vector<std::string> RunData::folders_of(const std::string& name) const {
  std::vector<std::string> folders;
  const fs::path path = path_from_text(name);
  if (path.is_relative()) {
    const bool is_name = !path.has_parent_path();
    folders.push_back(normal(is_name ? fs::path(beside_) / "data" / path : beside_ / path));
  }
  const std::string& lay = places_.at(name).folder;
  if (!lay.empty() && (folders.empty() || folders[0] != lay)) folders.push_back(lay);
  return folders;
}

Corpus RunData::open(const std::string& name, const RunConfig& config,
                     std::vector<std::string>& notices) const {
  const auto known = places_.find(name);
  if (name == kNumbers || known == places_.end()) return open_corpus(name, config);
  const std::string& trained_on = known->second.fingerprint;
  const auto is_it = [&](const Corpus& corpus) {
    return trained_on.empty() || corpus.fingerprint() == trained_on;
  };
  std::optional<Corpus> usual;
  std::optional<Error> trouble;
  try {
    usual = open_corpus(name, config);
  } catch (const Error& e) {
    trouble = e;
  }
  if (usual && is_it(*usual)) return *usual;
  // The same are named from wherever the run is asked, its own place included.
  std::vector<std::string> looked;
  for (const std::string& folder : folders_of(name)) {
    looked.push_back(escaped(folder));
    const std::optional<Corpus> found = open_if_sound(folder);
    if (!found || !is_it(*found)) continue;
    notices.push_back(fmt::format("{} is read from {}, {}", escaped(name), looked.back(),
                                  usual ? "for the files here are not those the run was trained on"
                                        : "for there is none here"));
    return *found;
  }
  if (usual) return *usual;
  if (looked.empty()) throw Error(*trouble);
  throw Error(trouble->kind(),
              fmt::format("{}; what the run was trained on is not in {}", trouble->what(),
                          join(looked, " or ")),
              "FATHOM_DATA=FOLDER says where corpora are; else " + trouble->hint());
}

std::vector<std::string> RunData::parts(const std::string& dataset) const {
  return places_.count(dataset) > 0 ? std::vector<std::string>{dataset} : data_parts(dataset);
}

std::string RunData::prepared(const std::string& part) const {
  return places_.count(part) > 0 && !is_prepared(part) ? part : prepared_data(part);
}

Error with_data_beside(const Error& error, const std::string& dataset, const Field& field) {
  const size_t line = field.origin().rfind(':');  // "a.toml:3", or "--dataset"
  if (line == std::string::npos || is_prepared(dataset)) return error;
  const std::string file = field.origin().substr(0, line);
  if (kind_of(file) != PathKind::kFile) return error;
  const std::string there = data_beside(file, dataset);
  if (there.empty()) return error;
  return {error.kind(), error.what(),
          fmt::format("one of that name lies where {} was written: `--dataset={}` takes it",
                      escaped(file), shell_word(path_to_text(there)))};
}

}  // namespace fathom
