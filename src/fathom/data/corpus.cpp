#include "fathom/data/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/data/corpus_meta.h"
#include "fathom/data/known_corpora.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr uint64_t kEndBytes = 1 << 20;

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool has_meta(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "meta.json", ignored);
}

std::vector<std::string> splits_named_by(const fs::path& file) {
  std::vector<std::string> splits;
  if (file.extension() != ".bin" && file.extension() != ".npy") return splits;
  for (const char* split : {"train", "val"})
    if (file.filename().string().find(split) != std::string::npos) splits.emplace_back(split);
  return splits;
}

// A folder without meta.json: its shards by split, in order of name.
CorpusContents open_by_name(const fs::path& folder, const std::string& name) {
  std::map<std::string, std::vector<std::string>> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::vector<std::string> splits = splits_named_by(entry.path());
    if (splits.size() > 1)
      fail(fmt::format("the name of {} says both train and val, so its split is unclear",
                       entry.path().string()),
           "rename it");
    if (!splits.empty()) files[splits.front()].push_back(entry.path().string());
  }
  if (error) fail(fmt::format("cannot list the folder {}: {}", folder.string(), error.message()));
  if (files.empty())
    fail(fmt::format("the folder {} is no prepared corpus: it has neither meta.json nor files such "
                     "as train.bin or x_train_000001.npy",
                     folder.string()),
         mend_hint(name));
  CorpusContents contents;
  for (auto& [split, paths] : files) {
    std::sort(paths.begin(), paths.end());
    for (const std::string& path : paths) contents.splits[split].emplace_back(path);
  }
  return contents;
}

bool is_corpus(const fs::path& folder) {
  if (!is_folder(folder)) return false;
  if (has_meta(folder)) return true;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (!splits_named_by(entry.path()).empty()) return true;
  return false;
}

// A single component that can be asked for under data_root().
bool is_name(const std::string& text) {
  return !text.empty() && text != "." && text != ".." && text.find('/') == std::string::npos;
}

[[noreturn]] void fail_unknown(const std::string& name) {
  const std::vector<std::string> prepared = prepared_corpora();
  const std::string nearest = nearest_name(name, prepared);
  const bool printable = is_name(name) && in_quotes(name) == '"' + name + '"';
  const std::string line = find_known_corpus(name) ? fmt::format("`fathom prepare {}`", name)
                                                   : fmt::format("`fathom prepare FILE --name {}`",
                                                                 printable ? name : "NAME");
  fail(fmt::format("there is no prepared corpus {} in {}; prepared: {}", in_quotes(name),
                   data_root(), prepared.empty() ? "none" : join(prepared, ", ")),
       nearest.empty() ? line : fmt::format("did you mean {}? Else {}", nearest, line));
}

// What stands for a shard in the fingerprint of a folder without meta.json.
std::string digest(const TokenShard& shard) {
  const Span<const std::byte> bytes = shard.file_bytes();
  if (bytes.size() <= kHashedBytes) return xxh3_hex(bytes);
  return xxh3_hex(bytes.subspan(0, kEndBytes)) +
         xxh3_hex(bytes.subspan(bytes.size() - kEndBytes, kEndBytes));
}

}  // namespace

struct Corpus::State {
  std::string name, path;
  CorpusContents contents;
};

std::string data_root() {
  const char* root = std::getenv("FATHOM_DATA");
  return root && *root ? root : "data";
}

std::vector<std::string> prepared_corpora() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(data_root(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.front() != '.' && is_corpus(entry.path())) names.push_back(name);
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
  const bool with_meta = kind_of((folder / "meta.json").string()) == PathKind::kFile;
  state->contents =
      with_meta ? read_corpus_meta(state->path, state->name) : open_by_name(folder, state->name);
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
  std::vector<std::string> names;
  for (const auto& [split, shards] : state_->contents.splits) names.push_back(split);
  return names;
}

const std::vector<TokenShard>& Corpus::shards(const std::string& split) const {
  const auto found = state_->contents.splits.find(split);
  if (found == state_->contents.splits.end())
    fail(fmt::format("the corpus {} has no split {}, only {}", name(), in_quotes(split),
                     join(splits(), ", ")),
         "a split is made of the .bin or .npy files whose names contain its name");
  return found->second;
}

uint64_t Corpus::tokens(const std::string& split) const {
  uint64_t total = 0;
  for (const TokenShard& shard : shards(split)) total += shard.size();
  return total;
}

std::string Corpus::fingerprint() const {
  std::string content = state_->contents.recorded;
  if (content.empty())
    for (const auto& [split, shards] : state_->contents.splits)
      for (const TokenShard& shard : shards)
        content += fmt::format("\n{} {} {}", split, shard.size(), digest(shard));
  return xxh3_hex(as_bytes(content));
}

void require_block(const Corpus& corpus, int64_t block_size) {
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
