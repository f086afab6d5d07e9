#include "fathom/data/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/data/corpus_meta.h"
#include "fathom/data/known_corpora.h"
#include "fathom/data/meta_pickle.h"
#include "fathom/data/numbers/numbers_data.h"
#include "fathom/data/shard_names.h"
#include "fathom/data/shard_record.h"
#include "fathom/data/tokenizer_json.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr size_t kMostNames = 5;  // of files, in a sentence

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool has_meta(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "meta.json", ignored);
}

std::string shown_names(const std::vector<std::string>& names) {
  std::vector<std::string> shown;
  for (size_t i = 0; i < std::min(names.size(), kMostNames); ++i)
    shown.push_back(escaped(names[i]));
  const std::string more =
      names.size() > kMostNames ? fmt::format(" and {} more", names.size() - kMostNames) : "";
  return join(shown, ", ") + more;
}

constexpr const char* kTokenizerFile = "tokenizer.json";
constexpr const char* kMetaPickle = "meta.pkl";

void take_meta_pickle(const std::string& path, CorpusContents& contents) {
  MetaPickle meta = read_meta_pickle(read_text_file(path, kMaxMetaPickleBytes), escaped(path));
  contents.tokenizer = tokenizer_of(meta);
  contents.vocab_size = meta.vocab_size;
  contents.vocabulary_file = kMetaPickle;
  contents.without_text = meta.without_text;
}

// What lies beside shards, whose ids must be its own: a tokenizer.json, or else nanoGPT's meta.pkl,
// which may know no more than the vocabulary's size.
void take_vocabulary(const fs::path& folder, CorpusContents& contents) {
  const std::string json = (folder / kTokenizerFile).string();
  const std::string pickle = (folder / kMetaPickle).string();
  if (kind_of(json) == PathKind::kFile) {
    contents.tokenizer =
        make_tokenizer_of(read_tokenizer_json(read_text_file(json, kMaxTokenizerBytes), json));
    contents.vocab_size = contents.tokenizer->vocab_size();
    contents.vocabulary_file = kTokenizerFile;
  } else if (kind_of(pickle) == PathKind::kFile) {
    take_meta_pickle(pickle, contents);
  }
}

// A folder without meta.json: its shards by split, in order of number.
CorpusContents open_by_name(const fs::path& folder, const std::string& name,
                            std::vector<std::string>& left) {
  ShardFiles files = list_shards(folder.string());
  if (files.splits.empty())
    fail(
        fmt::format("the folder {} is no prepared corpus: it has neither meta.json nor files such "
                    "as train.bin, train_0.bin or x_train_000001.npy{}",
                    folder.string(), files.left.empty() ? "" : ", only " + shown_names(files.left)),
        mend_hint(name));
  CorpusContents contents;
  ShardRecord record(folder.string());
  for (const auto& [split, names] : files.splits)
    for (const std::string& file : names) {
      OpenedShard opened = record.open(file);
      require_uint16(opened.shard, opened.facts);
      contents.splits[split].push_back(std::move(opened.shard));
      contents.facts[split].push_back(std::move(opened.facts));
    }
  record.keep();
  take_vocabulary(folder, contents);
  if (contents.vocab_size > 0) {
    for (const auto& [split, shards] : contents.splits)
      for (size_t i = 0; i < shards.size(); ++i)
        require_ids(shards[i], contents.facts.at(split)[i], contents.vocab_size);
  }
  left = std::move(files.left);
  return contents;
}

// In order of their numbers, some do not follow the one before.
bool has_gap(const std::vector<TokenShard>& shards) {
  std::optional<uint64_t> before;
  for (const TokenShard& shard : shards) {
    const auto name = parse_shard_name(fs::path(shard.path()).filename().string());
    constexpr size_t kMostDigits = 18;
    if (!name || name->number.size() > kMostDigits) return false;
    const uint64_t number = name->number.empty() ? 0 : std::stoull(name->number);
    if (before && number != *before + 1) return true;
    before = number;
  }
  return false;
}

// "train.bin (1,003,854 tokens)"
std::string shown_split(const std::vector<TokenShard>& shards) {
  uint64_t tokens = 0;
  for (const TokenShard& shard : shards) tokens += shard.size();
  const auto file = [](const TokenShard& shard) {
    return escaped(fs::path(shard.path()).filename().string());
  };
  const std::string files = shards.size() == 1
                                ? file(shards[0])
                                : fmt::format("{} to {}, {} shards", file(shards.front()),
                                              file(shards.back()), shards.size());
  const std::string gap = has_gap(shards) ? ", with numbers missing between them" : "";
  return fmt::format("{} ({} tokens{})", files, with_commas(static_cast<int64_t>(tokens)), gap);
}

// A single component that can be asked for under data_root().
bool is_name(const std::string& text) {
  return !text.empty() && text != "." && text != ".." && text.find('/') == std::string::npos;
}

[[noreturn]] void fail_unknown(const std::string& name) {
  const std::vector<std::string> prepared = prepared_corpora();
  std::vector<std::string> known = prepared;
  known.emplace_back(kNumbers);
  const std::string nearest = nearest_name(name, known);
  const bool printable = is_name(name) && in_quotes(name) == '"' + name + '"';
  const std::string line = find_known_corpus(name) ? fmt::format("`fathom prepare {}`", name)
                                                   : fmt::format("`fathom prepare FILE --name {}`",
                                                                 printable ? name : "NAME");
  std::error_code ignored;
  const std::string root = fs::absolute(data_root(), ignored).string();
  // What looks like a path was looked for as one, too.
  const std::string where = is_name(name) || name.empty()
                                ? "in " + escaped(root)
                                : fmt::format("here, nor in {}", escaped(root));
  fail(fmt::format("there is no prepared corpus {} {}; prepared: {}", in_quotes(name), where,
                   prepared.empty() ? "none" : join(prepared, ", ")),
       nearest.empty() ? line : fmt::format("did you mean {}? Else {}", nearest, line));
}

}  // namespace

struct Corpus::State {
  std::string name, path;
  CorpusContents contents;
  bool has_meta = false;
  std::vector<std::string> left;  // files that are no shards
  std::optional<NumbersConfig> numbers;
};

std::string data_root() {
  const char* root = std::getenv("FATHOM_DATA");
  return root && *root ? home_expanded(root) : "data";
}

bool is_corpus_folder(const std::string& path) {
  if (!is_folder(path)) return false;
  if (has_meta(path)) return true;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path, ignored))
    if (parse_shard_name(entry.path().filename().string())) return true;
  return false;
}

std::vector<std::string> prepared_corpora() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(data_root(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.front() != '.' && is_corpus_folder(entry.path().string())) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Corpus Corpus::open(const std::string& given) {
  const std::string name_or_path = path_from_text(given);  // as a saved configuration has it
  fs::path folder = name_or_path;
  if (is_name(name_or_path)) {
    const fs::path prepared = folder_to_read((fs::path(data_root()) / name_or_path).string());
    if (kind_of(prepared.string()) == PathKind::kFolder) folder = prepared;
  }
  if (kind_of(folder.string()) != PathKind::kFolder) fail_unknown(name_or_path);

  auto state = std::make_shared<State>();
  state->name =
      (fs::absolute(name_or_path) / "").lexically_normal().parent_path().filename().string();
  state->path = folder.string();
  state->has_meta = kind_of((folder / "meta.json").string()) == PathKind::kFile;
  state->contents = state->has_meta ? read_corpus_meta(state->path, state->name)
                                    : open_by_name(folder, state->name, state->left);
  Corpus corpus;
  corpus.state_ = std::move(state);
  return corpus;
}

Corpus Corpus::generated(const NumbersConfig& numbers) {
  auto state = std::make_shared<State>();
  state->name = kNumbers;
  state->numbers = numbers;
  check(numbers);
  state->contents.tokenizer = numbers_tokenizer(numbers.tokenizer);
  state->contents.vocab_size = state->contents.tokenizer->vocab_size();
  Corpus corpus;
  corpus.state_ = std::move(state);
  return corpus;
}

const std::string& Corpus::name() const {
  return state_->name;
}
const std::string& Corpus::path() const {
  return state_->path;
}
int64_t Corpus::vocab_size() const {
  const int64_t recorded = state_->contents.vocab_size;
  return recorded > 0 ? recorded : assumed_vocab_size_;
}
const Tokenizer* Corpus::tokenizer() const {
  return state_->contents.tokenizer.get();
}

std::vector<std::string> Corpus::splits() const {
  if (is_generated()) return numbers_splits();
  std::vector<std::string> names;
  for (const auto& [split, shards] : state_->contents.splits) names.push_back(split);
  for (const auto& [split, rows] : state_->contents.rows) names.push_back(split);
  return names;
}

const NumbersConfig* Corpus::numbers() const {
  return state_->numbers ? &*state_->numbers : nullptr;
}

bool Corpus::has_rows() const {
  return !state_->contents.rows.empty();
}

void Corpus::require_split(const std::string& split) const {
  const CorpusContents& contents = state_->contents;
  if (contents.splits.count(split) + contents.rows.count(split) > 0) return;
  if (is_generated()) {
    const std::vector<std::string>& all = numbers_splits();
    if (std::find(all.begin(), all.end(), split) != all.end()) {
      number_example(*numbers(), split, 0, 0);
      return;
    }
    fail(fmt::format("the corpus {} has no split {}, only {}", name(), in_quotes(split),
                     join(all, ", ")),
         "what is generated has these three");
  }
  fail(fmt::format("the corpus {} has no split {}, only {}", name(), in_quotes(split),
                   join(splits(), ", ")),
       has_rows() ? "`fathom prepare` makes train and val of a file of rows"
                  : fmt::format("a split is made of files named {0}.bin, {0}_N.bin, x_{0}_N.bin or "
                                "x_{0}_N.npy",
                                is_printable(split) ? split : "SPLIT"));
}

const std::vector<TokenShard>& Corpus::shards(const std::string& split) const {
  require_split(split);
  if (has_rows())
    fail(fmt::format("the corpus {} is rows of prompts and answers, not one text", name()),
         "take a corpus that was prepared from a text");
  if (is_generated())
    fail(fmt::format("the corpus {} is generated example by example, not one text", name()),
         "take a corpus that was prepared from a text");
  return state_->contents.splits.at(split);
}

const RowFile* Corpus::rows(const std::string& split) const {
  require_split(split);
  return has_rows() ? &state_->contents.rows.at(split).file : nullptr;
}

uint64_t Corpus::tokens(const std::string& split) const {
  require_split(split);
  if (has_rows()) return state_->contents.rows.at(split).tokens;
  if (is_generated()) return 0;
  uint64_t total = 0;
  for (const TokenShard& shard : shards(split)) total += shard.size();
  return total;
}

std::string Corpus::fingerprint() const {
  if (is_generated()) return fingerprint_of(*numbers());
  std::string content = state_->contents.recorded;
  if (content.empty())
    for (const auto& [split, shards] : state_->contents.splits)
      for (size_t i = 0; i < shards.size(); ++i)
        content += fmt::format("\n{} {} {}", split, shards[i].size(),
                               xxh3_hex(state_->contents.facts.at(split)[i].xxh3));
  if (!state_->has_meta && tokenizer() != nullptr)
    content += "\n" + json_text(tokenizer()->to_json());
  return xxh3_hex(as_bytes(content));
}

void Corpus::assume_vocab_size(int64_t size) {
  for (const auto& [split, shards] : state_->contents.splits)
    for (size_t i = 0; i < shards.size(); ++i)
      require_ids(shards[i], state_->contents.facts.at(split)[i], size);
  assumed_vocab_size_ = size;
}

std::vector<std::string> Corpus::notices() const {
  if (is_generated()) {
    const fs::path folder = fs::path(data_root()) / name();
    if (!is_corpus_folder(folder.string())) return {};
    return {
        fmt::format("{0} is generated; the folder {1} is another corpus, which --dataset={1} "
                    "opens",
                    name(), folder.string())};
  }
  if (state_->has_meta) return {};
  std::vector<std::string> taken, notices;
  std::map<std::pair<uint64_t, uint64_t>, std::string> split_of;  // by size and content
  for (const auto& [split, shards] : state_->contents.splits) {
    taken.push_back(shown_split(shards));
    for (size_t i = 0; i < shards.size(); ++i) {
      const auto content = std::pair(shards[i].size(), state_->contents.facts.at(split)[i].xxh3);
      const std::string& first = split_of.emplace(content, split).first->second;
      if (first != split)
        notices.push_back(
            fmt::format("{} is a copy of a shard of {}: what is measured on {} was trained on",
                        escaped(fs::path(shards[i].path()).filename().string()), first, split));
    }
  }
  const std::string& file = state_->contents.vocabulary_file;
  if (!file.empty())
    taken.push_back(fmt::format("{} (vocabulary {})", file, with_commas(vocab_size())));
  notices.insert(notices.begin(), "took " + join(taken, ", "));
  const std::string& why = state_->contents.without_text;
  if (!why.empty()) notices.push_back(fmt::format("its ids have no text: in {} {}", file, why));
  if (!state_->left.empty()) notices.push_back("left alone: " + shown_names(state_->left));
  return notices;
}

void require_block(const Corpus& corpus, int64_t block_size) {
  if (corpus.has_rows() || corpus.is_generated()) return;
  for (const std::string& split : corpus.splits()) {
    uint64_t longest = 0;
    for (const TokenShard& shard : corpus.shards(split)) longest = std::max(longest, shard.size());
    if (longest > static_cast<uint64_t>(std::max<int64_t>(block_size, 0))) continue;
    fail(
        fmt::format("the split {} of {} has {} tokens in its longest shard, block_size {} needs at "
                    "least {}",
                    split, corpus.name(), longest, block_size, block_size + 1),
        "a smaller --block_size, a longer text, or another --val_fraction when preparing it");
  }
}

}  // namespace fathom
