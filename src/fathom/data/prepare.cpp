#include "fathom/data/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/bpe.h"
#include "fathom/data/content_kind.h"
#include "fathom/data/corpus_meta.h"
#include "fathom/data/download.h"
#include "fathom/data/gpt2_vocabulary.h"
#include "fathom/data/prepare_content.h"
#include "fathom/data/prepare_internal.h"
#include "fathom/data/source_text.h"
#include "fathom/data/tokenizer_json.h"
#include "fathom/io/json_text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr const char* kCreatedBy = "fathom " FATHOM_VERSION;
constexpr size_t kMaxAlphabet = 512;  // a larger alphabet is no character corpus by default

std::string choose_tokenizer(const PrepareOptions& options, const KnownCorpus* known,
                             const TextScan& scan, std::vector<std::string>& notices) {
  if (options.tokenizer != "auto") return options.tokenizer;
  if (known) return known->tokenizer;
  if (scan.invalid_at)
    notices.push_back(
        fmt::format("byte tokenizer, for the text is not UTF-8 (byte {})", *scan.invalid_at));
  else if (scan.alphabet.size() > kMaxAlphabet)
    notices.push_back(
        fmt::format("byte tokenizer, for the text has {} different characters, more "
                    "than {}",
                    scan.alphabet.size(), kMaxAlphabet));
  else
    return "char";
  return "byte";
}

class Preparation {
 public:
  Preparation(const PrepareOptions& options, const PrepareProgress& progress,
              const PrepareWarning& warn)
      : options_(options),
        progress_(progress),
        warn_(warn),
        known_(find_known_corpus(options.what)),
        name_(check_options(options, known_)),
        folder_(fs::path(data_root()) / name_),
        seen_(folder_.string()) {}

  PrepareReport run() {
    // The text of a corpus with a known checksum need not be fetched to see that it is there.
    if (known_ && !known_->sha256.empty() && is_prepared(known_tokenizer(), known_->sha256))
      return report(true);
    SourceText source = load_source_text(options_, known_, progress_);
    const size_t mark = byte_order_mark(source.view()).size();
    if (mark > 0) notices_.emplace_back("the byte order mark at the text's start is left out");
    source.skip(mark);
    try {
      return report(make(source));
    } catch (const Error&) {
      check_steady(source);  // what went wrong with bytes that are lost is not the reason
      throw;
    }
  }

 private:
  void tell(const char* stage, uint64_t total, uint64_t done = 0) const {
    if (progress_) progress_(stage, done, total);
  }

  std::string known_tokenizer() const {
    return options_.tokenizer == "auto" ? known_->tokenizer : options_.tokenizer;
  }

  // True when the corpus was there already, or another process was faster.
  bool make(const SourceText& source) {
    const std::string_view text = source.view();
    if (text.empty()) fail(fmt::format("the text of {} is empty", options_.what));
    require_text(text, options_.what);
    tell("read", text.size());
    const StageProgress progress = [this](const char* stage, uint64_t total, uint64_t done) {
      tell(stage, total, done);
    };
    const auto content = reads_rows(options_) ? row_content(options_, text, progress, notices_)
                                              : text_content(options_, text, progress, notices_);
    const std::string kind = choose_tokenizer(options_, known_, content->scan(), notices_);
    sha256_ = sha256_hex(
        text, [&](uint64_t done) { tell("read", text.size(), (text.size() + done) / 2); });
    source.require_whole();
    if (is_prepared(kind, sha256_)) return true;
    try {
      write(source, *content, kind, sha256_);
      return false;
    } catch (const FolderReplaced&) {
      if (!holds(read_meta(folder_), kind, sha256_)) throw;
      notices_.emplace_back("another process prepared the same corpus meanwhile");
      return true;
    }
  }

  // The recipe's checksum stands for every byte that goes into the shards.
  void check_steady(const SourceText& source) const {
    source.require_whole();
    if (!source.was_changed() || sha256_.empty() || sha256_hex(source.view()) == sha256_) return;
    source.require_whole();
    fail(fmt::format("{} was changed while it was being read", options_.what),
         "let whatever writes it come to its end, then try again");
  }

  bool holds(const nlohmann::json& meta, const std::string& kind, const std::string& sha256) const {
    return meta.is_object() && meta.contains("recipe") &&
           meta["recipe"] == recipe(options_, kind, sha256);
  }

  bool is_prepared(const std::string& kind, const std::string& sha256) {
    return fathom::is_prepared(folder_, recipe(options_, kind, sha256), options_.force,
                               {warn_, notices_, said_});
  }

  void write(const SourceText& source, const Content& content, const std::string& kind,
             const std::string& sha256) {
    const auto tokenizer = make_tokenizer(kind, content);
    const DataRoot root(folder_.parent_path());
    StagedFolder staged(folder_.string(), std::move(seen_));
    nlohmann::json meta = {{"format_version", kMetaVersion},
                           {"name", name_},
                           {"source", known_ ? known_->source : shown_path(options_.what)},
                           {"command", command_line(options_)},
                           {"recipe", recipe(options_, kind, sha256)},
                           {"tokenizer", tokenizer->to_json()},
                           {"vocab_size", tokenizer->vocab_size()},
                           {"shard_format", options_.shard_format},
                           {"created_by", kCreatedBy}};
    meta.update(content.write(staged.path(), *tokenizer));
    write_file_durably(staged.path() + "/meta.json", as_bytes(json_text(meta, 2) + "\n"));
    check_steady(source);
    if (kind_of(folder_.string()) == PathKind::kFolder) check_replaceable(folder_);
    staged.commit();
  }

  std::unique_ptr<Tokenizer> make_tokenizer(const std::string& kind, const Content& content) const {
    if (kind == "byte") return make_byte_tokenizer();
    if (kind == "char") return content.character_tokenizer();
    if (kind == "gpt2") {
      DownloadOptions download;
      download.timeout = options_.timeout;
      download.progress = [&](uint64_t done, uint64_t total) { tell("download", total, done); };
      return make_bpe_tokenizer(kind, load_gpt2_vocabulary(options_.vocabulary, download));
    }
    if (!options_.vocabulary.empty())
      return make_tokenizer_of(read_bpe_vocabulary(
          read_once(options_.vocabulary, kMaxTokenizerBytes), options_.vocabulary));
    return make_bpe_tokenizer(kind, content.byte_pairs(options_.vocab_size, [&](int64_t done) {
      tell("merge", static_cast<uint64_t>(options_.vocab_size), static_cast<uint64_t>(done));
    }));
  }

  PrepareReport report(bool already_prepared) {
    return report_of(folder_, already_prepared, std::move(notices_));
  }

  const PrepareOptions& options_;
  const PrepareProgress& progress_;
  const PrepareWarning& warn_;
  const KnownCorpus* known_;  // null: options_.what is a file
  std::string name_;
  fs::path folder_;
  std::string sha256_;  // of the text; empty: not known yet
  SeenFolder seen_;     // before anything was read
  bool said_ = false;   // what --force removes
  std::vector<std::string> notices_;
};

}  // namespace

PrepareReport prepare(const PrepareOptions& options, const PrepareProgress& progress,
                      const PrepareWarning& warn) {
  const KnownCorpus* known = find_known_corpus(options.what);
  if (known != nullptr && known->has_documents)
    return prepare_documents(options, *known, progress, warn);
  return Preparation(options, progress, warn).run();
}

}  // namespace fathom
