#include "fathom/train/recipe/given_instead.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string_view>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/data/content_kind.h"
#include "fathom/data/corpus.h"
#include "fathom/data/corpus_name.h"
#include "fathom/data/numbers/numbers_data.h"
#include "fathom/io/files.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

// `key = value` or `[section]`.
bool is_setting(std::string_view line) {
  if (line.front() == '[') return line.back() == ']';
  size_t i = 0;
  while (i < line.size() && (std::isalnum(static_cast<unsigned char>(line[i])) != 0 ||
                             std::string_view("_-.\"'").find(line[i]) != std::string_view::npos))
    ++i;
  const size_t sign = line.find_first_not_of(" \t", i);
  return i > 0 && sign != std::string_view::npos && line[sign] == '=';
}

// Whether its first lines are a config file's, mistakes included: one of them sets something, or
// all are comments.
bool may_be_settings(std::string_view text) {
  constexpr int kLines = 100;
  text.remove_prefix(byte_order_mark(text).size());
  bool has_others = false;
  for (int seen = 0; !text.empty() && seen < kLines;) {
    const size_t end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    if (is_setting(line)) return true;
    has_others = true;
    ++seen;
  }
  return !has_others;
}

std::optional<GivenInstead> by_content(const std::string& path, std::string_view bytes) {
  const std::string_view head = bytes.substr(0, kContentHead);
  const std::string_view tail = bytes.substr(bytes.size() - std::min(bytes.size(), kContentTail));
  if (const auto kind = other_than_text(head, tail, bytes.size())) {
    // Whoever reads settings says what to do with those.
    if (kind->what.find("UTF-") != std::string::npos) return std::nullopt;
    return GivenInstead{kind->what, "", text_hint(*kind, "")};
  }
  const size_t first = head.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && head[first] == '{')
    return GivenInstead{"JSON", "",
                        fmt::format("--training_plan={} takes a training plan, and `fathom prepare "
                                    "{}` lines of JSON with texts",
                                    shell_word(path), shell_word(path))};
  if (may_be_settings(head)) return std::nullopt;
  return GivenInstead{
      "a text", "",
      fmt::format("`fathom prepare {}` makes data of it, which --dataset={} takes",
                  shell_word(path),
                  shell_word(corpus_name_of(std::filesystem::path(path).stem().string()))),
      /*is_text=*/true};
}

}  // namespace

std::string GivenInstead::hint() const {
  if (!data.empty())
    return fmt::format("`fathom train {} --dataset={}` trains on it", registry().example(),
                       shell_word(data));
  return remedy.empty() ? "`fathom list` shows experiments, `fathom runs` runs" : remedy;
}

bool is_data(const std::string& word) {
  const std::vector<std::string> prepared = prepared_corpora();
  if (word == kNumbers || std::find(prepared.begin(), prepared.end(), word) != prepared.end())
    return true;
  const std::string folder = home_expanded(path_from_text(word));
  if (!is_corpus_folder(folder)) return false;
  try {
    Corpus::open(folder);
    return true;
  } catch (const Error&) {  // a meta.json of something else
    return false;
  }
}

std::optional<GivenInstead> given_instead(const std::string& word) {
  if (is_data(word)) return GivenInstead{"data", word, ""};
  const std::string path = home_expanded(path_from_text(word));
  const std::string ending = std::filesystem::path(path).extension().string();
  if (ending == ".py" || ending == ".toml" || kind_of(path) != PathKind::kFile) return std::nullopt;
  std::string folder = std::filesystem::path(word).parent_path().string();
  if (folder.empty()) folder = ".";
  const bool has_ids = ending == ".bin" || ending == ".npy";
  const bool is_beside = std::filesystem::path(path).filename() == "meta.json" || ending == ".pkl";
  if ((has_ids || is_beside) && is_data(folder))
    return GivenInstead{has_ids ? "a file of token ids" : "a file of prepared data", folder, ""};
  const MappedFile file(path);
  return file.while_whole([&] {
    const auto bytes = file.bytes();
    return by_content(word, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  });
}

}  // namespace fathom
