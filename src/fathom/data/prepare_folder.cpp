// What stands in the place of a corpus that is to be prepared.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/corpus_meta.h"
#include "fathom/data/prepare_internal.h"
#include "fathom/data/shard_record.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

// Fit for a message: corpora may come from anywhere. Empty: it does not say.
std::string shown_source(const nlohmann::json& meta) {
  constexpr size_t kLongest = 300;
  const auto source = meta.is_object() ? meta.find("source") : meta.end();
  if (!meta.is_object() || source == meta.end() || !source->is_string()) return "";
  const auto& text = source->get_ref<const std::string&>();
  return text.size() <= kLongest && is_printable(text) ? text : quoted_start(text);
}

// Of all splits that a meta.json tells; 0 if it tells none.
uint64_t tokens_of(const nlohmann::json& meta) {
  uint64_t tokens = 0;
  const auto splits = meta.is_object() ? meta.find("splits") : meta.end();
  if (!meta.is_object() || splits == meta.end() || !splits->is_object()) return 0;
  for (const auto& [split, files] : splits->items())
    for (const auto& file : files)
      if (file.is_object() && file.contains("tokens") && file["tokens"].is_number_unsigned())
        tokens += file["tokens"].get<uint64_t>();
  return tokens;
}

}  // namespace

DataRoot::DataRoot(fs::path folder) : folder_(std::move(folder)) {
  std::error_code error;
  made_ = fs::create_directories(folder_, error);
  if (error)
    fail(fmt::format("cannot create the folder {}: {}", data_root(), error.message()),
         "FATHOM_DATA names another place for corpora");
}

DataRoot::~DataRoot() {
  if (made_) ::rmdir(folder_.c_str());  // only when it is empty
}

nlohmann::json read_meta(const fs::path& folder) {
  const std::string path = (folder / "meta.json").string();
  if (kind_of(path) != PathKind::kFile) return nullptr;
  try {
    return parse_json(read_text_file(path, kMetaBytes), path);
  } catch (const SystemError&) {
    throw;
  } catch (const Error&) {
    return nullptr;  // another corpus than any that is asked for
  }
}

void check_replaceable(const fs::path& folder) {
  const nlohmann::json meta = read_meta(folder);
  const bool has_rows = meta.is_object() && meta.value("kind", nlohmann::json()) == "rows";
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const fs::path file = it->path().filename();
    if (is_shard_record(file.string())) continue;
    std::error_code unknown;  // then it is no file of ours
    const bool rows = has_rows && (file == "train.jsonl" || file == "val.jsonl");
    if (file == "meta.json" ||
        ((file.extension() == ".bin" || rows) && it->is_regular_file(unknown)))
      continue;
    fail(fmt::format("{} holds {}, which no preparation has written, and would be replaced whole",
                     folder.string(), in_quotes(file.string())),
         "move it away, or choose another --name");
  }
  if (error) fail_system("list", folder.string(), error.value());
}

bool is_empty_folder(const fs::path& folder) {
  std::error_code error;
  const bool empty = fs::is_empty(folder, error);
  if (error) fail_system("list", folder.string(), error.value());
  return empty;
}

bool is_prepared(const fs::path& folder, const nlohmann::json& recipe, bool force,
                 ReplacementWords words) {
  const PathKind there = kind_of(folder.string());
  if (there == PathKind::kNothing) return false;
  if (there != PathKind::kFolder)
    fail(fmt::format("cannot write the folder {}: a file of that name is there", folder.string()),
         "move the file away, or choose another --name");
  const nlohmann::json meta = read_meta(folder);
  const bool same = meta.is_object() && meta.contains("recipe") && meta["recipe"] == recipe;
  if (same && !force) {
    try {
      Corpus::open(folder.string());
      return true;
    } catch (const SystemError&) {
      throw;  // it may be whole
    } catch (const Error& error) {
      words.notices.push_back(fmt::format("made again, for {}", error.what()));
    }
  }
  const std::string sha256 = recipe.at("sha256");
  const bool other = !same && !is_empty_folder(folder);
  if (other) check_replaceable(folder);  // else --force would be no help
  if (other && !force)
    fail(fmt::format("{} already holds a different corpus, {}", folder.string(),
                     made_from(meta, sha256)),
         "--force replaces it, --name gives this one another place");
  check_replaceable(folder);
  if (other && !words.said) {
    words.said = true;
    const std::string removal =
        fmt::format("--force removes {}, {}", folder.string(), corpus_shown(meta, sha256));
    words.warn ? words.warn(removal) : words.notices.push_back(removal);
  }
  return false;
}

std::string made_from(const nlohmann::json& meta, const std::string& sha256) {
  const std::string source = shown_source(meta);
  if (source.empty()) return "and nothing says what it was made from";
  const auto recipe = meta.find("recipe");
  const bool same_text = recipe != meta.end() && recipe->is_object() &&
                         recipe->contains("sha256") && (*recipe)["sha256"] == sha256;
  return same_text ? "made from the same text with other settings" : "made from " + source;
}

std::string corpus_shown(const nlohmann::json& meta, const std::string& sha256) {
  return fmt::format("a corpus of {} tokens, {}",
                     with_commas(static_cast<int64_t>(tokens_of(meta))), made_from(meta, sha256));
}

std::string shown_path(const std::string& path) {
  if (is_printable(path)) return path;
  const std::string quoted = in_quotes(path);
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace fathom
