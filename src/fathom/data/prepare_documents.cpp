// `fathom prepare` of a corpus of documents: it streams, for there may be more than memory holds.
#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/random.h"
#include "fathom/base/text.h"
#include "fathom/data/bpe.h"
#include "fathom/data/corpus_meta.h"
#include "fathom/data/document_files.h"
#include "fathom/data/gpt2_vocabulary.h"
#include "fathom/data/prepare_internal.h"
#include "fathom/data/sample.h"
#include "fathom/data/shard_record.h"
#include "fathom/data/split_tokens.h"
#include "fathom/data/tokenizer_json.h"
#include "fathom/io/json_text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr size_t kTrainBytes = 64 << 20;  // of text that byte pairs are made of

// Which documents are for validation: a draw for each, by its number.
class SplitChoice {
 public:
  explicit SplitChoice(double val_fraction) : val_fraction_(val_fraction) {}
  std::string next(const std::string& of_file) {
    if (!of_file.empty()) return of_file;
    return stream_.uniform(count_++) < val_fraction_ ? "val" : "train";
  }

 private:
  double val_fraction_;
  uint64_t count_ = 0;
  RandomStream stream_{0, "documents/val"};
};

uint64_t characters_in(std::string_view text) {
  uint64_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return n;
}

class DocumentPreparation {
 public:
  DocumentPreparation(const PrepareOptions& options, const KnownCorpus& known,
                      const PrepareProgress& progress, const PrepareWarning& warn)
      : options_(options),
        known_(known),
        progress_(progress),
        warn_(warn),
        kind_(options.tokenizer == "auto" ? known.tokenizer : options.tokenizer),
        name_(check_options(options, &known)),
        folder_(fs::path(data_root()) / name_),
        seen_(folder_.string()) {
    if (kind_ == "char")
      misuse(fmt::format("--tokenizer char has no meaning for {}: its alphabet is known only when "
                         "all of it was read",
                         known.name),
             "take gpt2, bpe or byte");
  }

  PrepareReport run() {
    // What may be missing is asked for before hours of downloading.
    if (options_.input.empty() && (kind_ == "gpt2" || !options_.vocabulary.empty()))
      tokenizer_ = make_tokenizer();
    files_ = document_files(options_, known_, progress_, notices_);
    for (const DocumentFile& file : files_) {
      std::error_code error;
      total_ += fs::file_size(file.path, error);
      if (error) fail_system("look at", file.path, error.value());
    }
    if (files_.front().is_shard && kind_ != "gpt2")
      misuse(fmt::format("--tokenizer {} has no meaning for shards, which are tokens of GPT-2's",
                         kind_),
             "leave it out");
    recipe_ = recipe();
    if (is_prepared(folder_, recipe_, options_.force, {warn_, notices_, said_}))
      return report(true);
    try {
      write();
      return report(false);
    } catch (const FolderReplaced&) {
      const nlohmann::json meta = read_meta(folder_);
      if (!meta.is_object() || !meta.contains("recipe") || meta["recipe"] != recipe_) throw;
      notices_.emplace_back("another process prepared the same corpus meanwhile");
      return report(true);
    }
  }

 private:
  void tell(const char* stage, uint64_t done) const {
    if (progress_) progress_(stage, std::min(done, total_), total_);
  }

  // Of all files, in their order, with what they are for.
  std::string checksum() {
    std::string all;
    uint64_t done = 0;
    for (const DocumentFile& file : files_) {
      stamps_.push_back(file_stamp(file.path));
      const MappedFile mapped(file.path);
      const std::string_view bytes(reinterpret_cast<const char*>(mapped.bytes().data()),
                                   mapped.bytes().size());
      all += mapped.while_whole(
          [&] { return sha256_hex(bytes, [&](uint64_t n) { tell("read", done + n); }); });
      all += ' ' + file.split + '\n';
      done += bytes.size();
    }
    return sha256_hex(all);
  }

  // The checksum stands for every byte that became tokens.
  void check_steady() const {
    for (size_t i = 0; i < files_.size(); ++i)
      if (!(file_stamp(files_[i].path) == stamps_[i]))
        fail(fmt::format("{} was changed while it was being read", files_[i].path),
             "let whatever writes it come to its end, then try again");
  }

  nlohmann::json recipe() {
    nlohmann::json recipe = {{"sha256", checksum()},
                             {"tokenizer", kind_},
                             {"corpus", known_.name},
                             {"val_fraction", options_.val_fraction},
                             {"shard_format", options_.shard_format},
                             {"shard_tokens", options_.shard_tokens}};
    add_specials(options_, kind_, recipe);
    if (kind_ == "bpe" && options_.vocabulary.empty()) recipe["vocab_size"] = options_.vocab_size;
    if (kind_ == "bpe" && !options_.vocabulary.empty())
      recipe["vocabulary"] = sha256_hex(read_once(options_.vocabulary, kMaxTokenizerBytes));
    return recipe;
  }

  std::unique_ptr<Tokenizer> make_tokenizer() {
    if (kind_ == "byte") return make_byte_tokenizer();
    if (kind_ == "gpt2") {
      DownloadOptions download;
      download.timeout = options_.timeout;
      return make_bpe_tokenizer(kind_, load_gpt2_vocabulary(options_.vocabulary, download));
    }
    if (!options_.vocabulary.empty())
      return make_tokenizer_of(read_bpe_vocabulary(
          read_once(options_.vocabulary, kMaxTokenizerBytes), options_.vocabulary));
    const std::string text = first_training_text();
    notices_.push_back(fmt::format("byte pairs are made of the first {} of the training text",
                                   human_bytes(static_cast<double>(text.size()))));
    const auto tell_merges = [&](int64_t done) {
      if (progress_)
        progress_("merge", static_cast<uint64_t>(done), static_cast<uint64_t>(options_.vocab_size));
    };
    return make_bpe_tokenizer(
        kind_, train_bpe(text, options_.vocab_size, tell_merges, specials_of(options_)));
  }

  std::string first_training_text() {
    struct Gather : DocumentSink {
      explicit Gather(double val_fraction) : choice(val_fraction) {}
      bool begin() override {
        split = choice.next(file_split);
        return all.size() < kTrainBytes;
      }
      void text(std::string_view part) override {
        if (split == "train")
          all += part.substr(0, kTrainBytes - std::min(kTrainBytes, all.size()));
      }
      SplitChoice choice;
      std::string file_split, split, all;
    };
    Gather gather(options_.val_fraction);
    for (const DocumentFile& file : files_) {
      gather.file_split = file.split;
      if (!read_documents(file.path, known_.form, gather, [&](uint64_t) { tell("read", 0); }))
        break;
    }
    return std::move(gather.all);
  }

  SplitTokens& tokens_of(const std::string& split, const std::string& folder,
                         const Tokenizer& tokenizer) {
    const auto found = splits_.find(split);
    if (found != splits_.end()) return *found->second;
    SplitWriter writer(folder, split,
                       options_.shard_format == "llmc" ? ShardFormat::kLlmC : ShardFormat::kNanoGpt,
                       static_cast<uint64_t>(options_.shard_tokens));
    auto tokens =
        std::make_unique<SplitTokens>(tokenizer, specials_of(options_), std::move(writer));
    return *splits_.emplace(split, std::move(tokens)).first->second;
  }

  void write_documents(const std::string& folder, const Tokenizer& tokenizer) {
    struct Write : DocumentSink {
      Write(DocumentPreparation& p, const std::string& f, const Tokenizer& t)
          : preparation(p), folder(f), tokenizer(t), choice(p.options_.val_fraction) {}
      bool begin() override {
        if (!preparation.known_.form.joined) end();
        current = &preparation.tokens_of(choice.next(file_split), folder, tokenizer);
        return true;
      }
      void text(std::string_view part) override {
        current->text(part);
        preparation.windows_.add(part);
        preparation.bytes_ += part.size();
        preparation.characters_ += characters_in(part);
      }
      void end() {
        if (current == nullptr) return;
        current->end();
        preparation.windows_.end();
        ++preparation.documents_;
        if (!preparation.known_.form.joined) current->add({&separator, 1});
        current = nullptr;
      }
      DocumentPreparation& preparation;
      const std::string& folder;
      const Tokenizer& tokenizer;
      SplitChoice choice;
      std::string file_split;
      SplitTokens* current = nullptr;
      uint32_t separator = 0;
    };
    Write write(*this, folder, tokenizer);
    write.separator = end_token(tokenizer);
    uint64_t done = 0;
    for (const DocumentFile& file : files_) {
      // Two files of a split are one text where they are joined.
      if (file.split != write.file_split) write.end();
      write.file_split = file.split;
      read_documents(file.path, known_.form, write,
                     [&](uint64_t at) { tell("tokenize", done + at); });
      done += fs::file_size(file.path);
    }
    write.end();
    for (const auto& [split, tokens] : splits_) tokens->end();
  }

  void write_shards(const std::string& folder, const Tokenizer& tokenizer) {
    constexpr uint64_t kChunk = 1 << 20;
    uint64_t done = 0;
    for (const DocumentFile& file : files_) {
      const TokenShard shard(file.path);
      SplitTokens& tokens = tokens_of(file.split, folder, tokenizer);
      std::vector<int64_t> wide;
      for (uint64_t at = 0; at < shard.size(); at += wide.size()) {
        wide.resize(std::min<uint64_t>(kChunk, shard.size() - at));
        shard.copy(at, {wide.data(), wide.size()});
        for (size_t i = 0; i < wide.size(); ++i)
          if (wide[i] >= tokenizer.vocab_size())
            fail_id(shard, at + i, wide[i], tokenizer.vocab_size());
        const std::vector<uint32_t> ids(wide.begin(), wide.end());
        tokens.add(ids);
        bytes_ += tokenizer.decode(ids).size();
        tell("tokenize", done + 2 * at);
      }
      shard.require_whole();
      done += shard.file_size();
    }
    characters_ = bytes_;
  }

  void write() {
    if (tokenizer_ == nullptr) tokenizer_ = make_tokenizer();
    const Tokenizer* tokenizer = tokenizer_.get();
    const DataRoot root(folder_.parent_path());
    StagedFolder staged(folder_.string(), std::move(seen_));
    files_.front().is_shard ? write_shards(staged.path(), *tokenizer)
                            : write_documents(staged.path(), *tokenizer);
    nlohmann::json splits = nlohmann::json::object();
    for (const char* needed : {"train", "val"})
      if (splits_.count(needed) == 0 || splits_.at(needed)->writer().size() < 2)
        fail(fmt::format("of {} documents the split {} gets none", with_commas(documents_), needed),
             known_.has_splits || files_.front().is_shard
                 ? "give the files of both splits"
                 : "give more documents, or another --val_fraction");
    uint64_t specials = 0;
    for (const auto& [split, tokens] : splits_) {
      splits[split] = tokens->writer().finish();
      specials += tokens->specials();
    }
    note_specials(specials, *tokenizer, notices_);
    windows_.note(notices_);
    const nlohmann::json meta = {
        {"format_version", kMetaVersion},
        {"name", name_},
        {"source", known_.source},
        {"command", command_line(options_)},
        {"recipe", recipe_},
        {"text", {{"bytes", bytes_}, {"characters", characters_}, {"documents", documents_}}},
        {"tokenizer", tokenizer->to_json()},
        {"vocab_size", tokenizer->vocab_size()},
        {"splits", splits},
        {"shard_format", options_.shard_format},
        {"created_by", "fathom " FATHOM_VERSION}};
    write_file_durably(staged.path() + "/meta.json", as_bytes(json_text(meta, 2) + "\n"));
    check_steady();
    if (kind_of(folder_.string()) == PathKind::kFolder) check_replaceable(folder_);
    staged.commit();
  }

  PrepareReport report(bool already_prepared) {
    return report_of(folder_, already_prepared, std::move(notices_));
  }

  const PrepareOptions& options_;
  const KnownCorpus& known_;
  const PrepareProgress& progress_;
  const PrepareWarning& warn_;
  std::string kind_, name_;
  fs::path folder_;
  SeenFolder seen_;  // before anything was read
  bool said_ = false;
  std::vector<std::string> notices_;
  std::vector<DocumentFile> files_;
  std::vector<std::optional<FileStamp>> stamps_;
  uint64_t total_ = 0;  // bytes of the files
  nlohmann::json recipe_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::map<std::string, std::unique_ptr<SplitTokens>> splits_;
  WindowsMarks windows_;
  int64_t documents_ = 0;
  uint64_t bytes_ = 0, characters_ = 0;
};

}  // namespace

PrepareReport prepare_documents(const PrepareOptions& options, const KnownCorpus& known,
                                const PrepareProgress& progress, const PrepareWarning& warn) {
  return DocumentPreparation(options, known, progress, warn).run();
}

}  // namespace fathom
