#include "fathom/data/corpus_meta.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/data/known_corpora.h"
#include "fathom/data/shard_record.h"
#include "fathom/io/checkpoint_manifest.h"
#include "fathom/io/json_text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr size_t kMaxCommandBytes = 500;  // that a hint shows

// meta.json may come from anywhere: every value is checked before it is used, and every error names
// the file and the `prepare` line that mends the corpus.
class MetaReader {
 public:
  MetaReader(const fs::path& folder, const std::string& name)
      : folder_(folder),
        file_((folder / "meta.json").string()),
        hint_(mend_hint(name)),
        record_(folder.string()) {}

  CorpusContents read() {
    const nlohmann::json meta = parse();
    adopt_command(meta);
    if (member(meta, "format_version") != kMetaVersion)
      refuse(fmt::format("format_version is {}, this fathom reads {}",
                         shown_json(meta["format_version"]), kMetaVersion));
    CorpusContents contents;
    contents.tokenizer = read_tokenizer(meta);
    contents.vocab_size = contents.tokenizer->vocab_size();
    contents.recorded = json_text(contents.tokenizer->to_json());
    const bool has_rows = holds_rows(meta);
    const nlohmann::json& splits = member(meta, "splits");
    if (!splits.is_object() || splits.empty()) refuse("\"splits\" is not an object of lists");
    for (const auto& [split, entries] : splits.items()) {
      if (!is_plain_file_name(split))
        refuse(fmt::format("{} is no name for a split", quoted_start(split)));
      if (!entries.is_array() || entries.empty())
        refuse(fmt::format("the split {} is not a list of files", quoted_start(split)));
      if (has_rows) {
        add_rows(contents, split, entries);
        continue;
      }
      for (const auto& entry : entries) {
        OpenedShard opened = open_shard(entry);
        require_ids(opened.shard, opened.facts, contents.vocab_size);
        contents.facts[split].push_back(std::move(opened.facts));
        contents.splits[split].push_back(std::move(opened.shard));
        contents.recorded +=
            fmt::format("\n{} {} {}", split, count(entry, "tokens"), text(entry, "xxh3"));
      }
    }
    record_.keep();
    return contents;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    fail(fmt::format("{}: {}", file_, why), hint_);
  }

  nlohmann::json parse() const {
    const std::string content = read_text_file(file_, kMetaBytes);
    nlohmann::json meta;
    try {
      meta = parse_json(content, "this");
    } catch (const Error& error) {
      refuse(error.what());
    }
    if (!meta.is_object()) refuse("this is not a JSON object");
    return meta;
  }

  // The corpus's own line is a better hint than ours, if it is fit to be printed.
  void adopt_command(const nlohmann::json& meta) {
    const auto found = meta.find("command");
    if (found == meta.end() || !found->is_string()) return;
    const auto& command = found->get_ref<const std::string&>();
    if (command.rfind("fathom prepare ", 0) == 0 && command.size() <= kMaxCommandBytes &&
        is_printable(command) && command.find('"') == command.npos)
      hint_ = fmt::format("`{} --force` makes it again", command);
  }

  const nlohmann::json& member(const nlohmann::json& object, const char* key) const {
    if (!object.is_object() || !object.contains(key)) refuse(fmt::format("\"{}\" is missing", key));
    return object[key];
  }
  std::string text(const nlohmann::json& object, const char* key) const {
    const nlohmann::json& value = member(object, key);
    if (!value.is_string()) refuse(fmt::format("\"{}\" is not a text", key));
    return value.get<std::string>();
  }
  uint64_t count(const nlohmann::json& object, const char* key) const {
    const nlohmann::json& value = member(object, key);
    if (!value.is_number_integer() || value < 0)
      refuse(fmt::format("\"{}\" is {}, not a count", key, shown_json(value)));
    return value.get<uint64_t>();
  }

  std::unique_ptr<Tokenizer> read_tokenizer(const nlohmann::json& meta) const {
    std::unique_ptr<Tokenizer> tokenizer;
    try {
      tokenizer = Tokenizer::from_json(member(meta, "tokenizer"));
    } catch (const Error& error) {
      refuse(error.what());
    }
    if (member(meta, "vocab_size") != tokenizer->vocab_size())
      refuse(fmt::format("vocab_size is {}, but the tokenizer has {} tokens",
                         shown_json(meta["vocab_size"]), tokenizer->vocab_size()));
    return tokenizer;
  }

  // Without "kind", or with the kind "shards", there are shards.
  bool holds_rows(const nlohmann::json& meta) const {
    if (!meta.contains("kind") || meta["kind"] == "shards") return false;
    if (meta["kind"] != "rows")
      refuse(fmt::format("\"kind\" is {}, this fathom reads rows and shards",
                         shown_json(meta["kind"])));
    return true;
  }

  void add_rows(CorpusContents& contents, const std::string& split, const nlohmann::json& entries) {
    if (entries.size() != 1)
      refuse(fmt::format("the split {} of rows is {} files, not one", split, entries.size()));
    const nlohmann::json& entry = entries[0];
    const std::string path = checked_path(entry, "file of rows");
    try {
      RowFile rows(path);
      if (rows.size() != count(entry, "rows"))
        refuse(fmt::format("it counts {} rows in {}, which has {}", count(entry, "rows"),
                           text(entry, "file"), rows.size()));
      if (count(entry, "tokens") / 2 < rows.size())  // each has a beginning and an end
        refuse(fmt::format("it counts {} tokens for the {} rows of {}", count(entry, "tokens"),
                           rows.size(), text(entry, "file")));
      if (xxh3_hex(rows.xxh3()) != text(entry, "xxh3"))
        fail(fmt::format("the file of rows {} is corrupt: its XXH3 is not the one in meta.json",
                         path));
      contents.recorded += fmt::format("\n{} rows {} {}", split, rows.size(), text(entry, "xxh3"));
      contents.rows.emplace(split, RowSplit{std::move(rows), count(entry, "tokens")});
    } catch (const SystemError&) {
      throw;  // the corpus is not to blame
    } catch (const Error& error) {
      fail(error.what(), hint_);
    }
  }

  // Of a file that is there and as long as it should be.
  std::string checked_path(const nlohmann::json& entry, const char* what) {
    const std::string file = text(entry, "file");
    // Errors show the name as it is.
    if (file.empty() || file == "." || file == ".." || file.find('/') != std::string::npos ||
        !is_printable(file))
      refuse(fmt::format("{} is not the name of a file in this folder", quoted_start(file)));
    if (!seen_.insert(file).second) refuse(fmt::format("it names {} twice", file));
    const std::string path = (folder_ / file).string();
    if (kind_of(path) == PathKind::kNothing)
      fail(fmt::format("the {} {} is missing", what, path), hint_);
    std::error_code reason;
    const uint64_t bytes = fs::file_size(path, reason);
    if (reason) fail_system("look at", path, reason.value());
    if (bytes != count(entry, "bytes"))
      fail(fmt::format("the {} {} has {} bytes where meta.json says {}", what, path,
                       with_commas(static_cast<int64_t>(bytes)), count(entry, "bytes")),
           hint_);
    return path;
  }

  OpenedShard open_shard(const nlohmann::json& entry) {
    const std::string path = checked_path(entry, "shard"), file = text(entry, "file");
    try {
      OpenedShard opened = record_.open(file);
      const TokenShard& shard = opened.shard;
      if (shard.size() != count(entry, "tokens"))
        refuse(fmt::format("it counts {} tokens in {}, which has {}", count(entry, "tokens"), file,
                           shard.size()));
      if (xxh3_hex(opened.facts.xxh3) != text(entry, "xxh3"))
        fail(fmt::format("the shard {} is corrupt: its XXH3 is not the one in meta.json", path));
      return opened;
    } catch (const SystemError&) {
      throw;  // the corpus is not to blame
    } catch (const Error& error) {
      fail(error.what(), hint_);
    }
  }

  fs::path folder_;
  std::string file_;
  std::string hint_;
  ShardRecord record_;
  std::set<std::string> seen_;  // the files' names
};

}  // namespace

std::string mend_hint(const std::string& name) {
  if (find_known_corpus(name))
    return fmt::format("`fathom prepare {} --force` makes it again", name);
  return fmt::format("`fathom prepare FILE --name {} --force` makes it again from its text",
                     shell_word(name));
}

CorpusContents read_corpus_meta(const std::string& folder, const std::string& name) {
  return MetaReader(folder, name).read();
}

}  // namespace fathom
