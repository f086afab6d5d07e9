#include "fathom/data/gpt2_vocabulary.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/data/corpus.h"
#include "fathom/data/tokenizer_json.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr char kUrl[] = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe";
constexpr char kSha256[] = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5";
constexpr uint64_t kMaxBytes = 16 << 20;
constexpr size_t kTokens = 50257;
constexpr char kHint[] =
    "offline: --vocabulary FILE takes GPT-2's vocab.bpe, a .tiktoken file, or encoders/gpt2.json "
    "of "
    "the npm package tiktoken";

fs::path kept_path() {
  return fs::path(data_root()) / "tokenizers" / "gpt2.json";
}

BpeVocabulary checked(BpeVocabulary vocabulary, const std::string& name) {
  if (vocabulary.size() != kTokens)
    fail(fmt::format("{} has {} tokens, GPT-2 has {}", name, vocabulary.size(), kTokens), kHint);
  return vocabulary;
}

BpeVocabulary keep(BpeVocabulary vocabulary) {
  make_folders(kept_path().parent_path().string());
  write_file_durably(kept_path(), as_bytes(json_text(to_json(vocabulary)) + "\n"));
  return vocabulary;
}

}  // namespace

// By the checksum of the file that has its merges.
bool is_gpt2_vocabulary(const BpeVocabulary& v) {
  if (v.size() != kTokens || v.specials != std::vector<std::string>{"<|endoftext|>"}) return false;
  try {
    return sha256_hex(merges_text(v)) == kSha256;
  } catch (const Error&) {  // its tokens do not follow from one another
    return false;
  }
}

std::optional<BpeVocabulary> kept_gpt2_vocabulary() {
  const std::string kept = kept_path();
  if (kind_of(kept) != PathKind::kFile) return std::nullopt;
  const nlohmann::json json = parse_json(read_text_file(kept, kMaxBytes), kept);
  if (!json.is_object()) fail(fmt::format("{} is damaged: it is no JSON object", kept), kHint);
  return checked(bpe_vocabulary_from_json(json), kept);
}

BpeVocabulary load_gpt2_vocabulary(const std::string& file, DownloadOptions options) {
  if (!file.empty()) {
    BpeVocabulary vocabulary = checked(read_bpe_vocabulary(read_once(file, kMaxBytes), file), file);
    if (!is_gpt2_vocabulary(vocabulary))
      fail(fmt::format("{} has as many tokens as GPT-2, but others", file),
           "--tokenizer=bpe takes it");
    return keep(std::move(vocabulary));
  }
  if (std::optional<BpeVocabulary> kept = kept_gpt2_vocabulary()) return *std::move(kept);
  if (options.url.empty()) options.url = kUrl;
  options.max_bytes = kMaxBytes;
  const std::string text = download(options, kHint);
  if (sha256_hex(text) != kSha256)
    fail(fmt::format("{} is not GPT-2's vocab.bpe: its SHA-256 is another", options.url), kHint);
  return keep(checked(read_bpe_vocabulary(text, options.url), options.url));
}

}  // namespace fathom
