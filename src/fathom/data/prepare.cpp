#include "fathom/data/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/data/bpe.h"
#include "fathom/data/content_kind.h"
#include "fathom/data/corpus_meta.h"
#include "fathom/data/corpus_name.h"
#include "fathom/data/corpus_writer.h"
#include "fathom/data/download.h"
#include "fathom/data/gpt2_vocabulary.h"
#include "fathom/data/prepare_internal.h"
#include "fathom/data/source_text.h"
#include "fathom/data/text_scan.h"
#include "fathom/data/tokenizer_json.h"
#include "fathom/io/json_text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr const char* kCreatedBy = "fathom " FATHOM_VERSION;
constexpr size_t kMaxAlphabet = 512;  // a larger alphabet is no character corpus by default
constexpr size_t kPieceBytes = 1 << 20;

// A text's file: neither a folder nor nothing. Where it has no name of its own, --name gives one.
void check_file(const PrepareOptions& o) {
  const PathKind kind = kind_of(o.what);
  if (kind == PathKind::kFolder)
    misuse(fmt::format("{} is a folder, not a text file", in_quotes(o.what)),
           "give one file; `cat` makes one of several");
  if (kind == PathKind::kNothing) {
    std::vector<std::string> names;
    for (const KnownCorpus& corpus : known_corpora()) names.push_back(corpus.name);
    misuse(fmt::format("{} is neither a text file nor a corpus that is prepared by name ({})",
                       in_quotes(o.what), join(names, ", ")),
           nearest_name(o.what, names).empty() ? "give the path of a text file"
                                               : suggestion(o.what, names));
  }
  // A shell's redirection gives a file another path, which is nobody's name for it.
  const bool nameless = kind == PathKind::kStream || o.what == "/dev/stdin" ||
                        o.what.rfind("/dev/fd/", 0) == 0 || o.what.rfind("/proc/", 0) == 0;
  if (nameless && o.name.empty())
    misuse(fmt::format("{} is no file whose name a corpus could have", in_quotes(o.what)),
           "add --name=NAME");
}

}  // namespace

std::string check_options(const PrepareOptions& o, const KnownCorpus* known) {
  PrepareOptions copy;  // its fields' bounds and choices hold for whoever filled in the struct
  FieldList list;
  add_fields(list, copy);
  list.set("tokenizer", o.tokenizer, "prepare");
  list.set("vocab_size", o.vocab_size, "prepare");
  list.set("shard_format", o.shard_format, "prepare");
  list.set("val_fraction", o.val_fraction, "prepare");
  list.set("shard_tokens", o.shard_tokens, "prepare");
  list.set("timeout", o.timeout, "prepare");

  if (!known) check_file(o);
  if (!known && !o.input.empty())
    misuse(fmt::format("--input {} is given beside the text file {}", o.input, o.what),
           "--input is the copy of a corpus that is prepared by name");
  if (!o.url.empty() && (!known || !is_downloaded(*known)))
    misuse(fmt::format("--url has no meaning for {}, which is not downloaded", o.what));
  if (!o.url.empty() && !o.input.empty())
    misuse("--url and --input are both given", "leave out one");
  const bool of_documents = known && known->has_documents;
  const bool takes_vocabulary =
      o.tokenizer == "gpt2" || o.tokenizer == "bpe" || (of_documents && o.tokenizer == "auto");
  if (!o.vocabulary.empty() && !takes_vocabulary)
    misuse(fmt::format("--vocabulary has no meaning for --tokenizer {}", o.tokenizer),
           "it is a file of byte pairs: add --tokenizer gpt2, or bpe");
  if (!o.more_inputs.empty() && (!of_documents || o.input.empty()))
    misuse(fmt::format("unexpected word {}", in_quotes(o.more_inputs.front())),
           "several files are for corpora of documents: fathom prepare fineweb --input FILE FILE");
  if (!o.name.empty() && o.name != corpus_name_of(o.name))
    misuse(fmt::format("--name {} is no name for a folder", in_quotes(o.name)),
           fmt::format("visible characters other than '/', at most 100 bytes, such as {}",
                       corpus_name_of(o.name)));
  if (o.name == "tokenizers" || o.name == "downloads")
    misuse(fmt::format("--name {} is where {} are kept", o.name,
                       o.name == "downloads" ? "downloaded files" : "vocabularies"),
           "choose another --name");
  if (!o.name.empty()) return o.name;
  return known ? known->name : corpus_name_of(fs::path(o.what).stem().string());
}

std::string command_line(PrepareOptions options) {
  options.force = false;
  PrepareOptions defaults;
  FieldList list, default_list;
  add_fields(list, options);
  add_fields(default_list, defaults);
  std::string line = "fathom prepare " + shell_word(options.what);
  for (const Field& field : list.all()) {
    const Value value = field.value();
    if (value == default_list.find(field.name())->value()) continue;
    std::string text = value.is_string() ? value.get<std::string>() : json_text(value);
    if (field.is_path()) text = path_from_text(text);
    line += fmt::format(" --{} {}", field.name(), shell_word(text));
  }
  for (const std::string& input : options.more_inputs) line += " " + shell_word(input);
  return line;
}

namespace {

// Equal recipes give equal shards.
nlohmann::json recipe(const PrepareOptions& options, const std::string& tokenizer,
                      const std::string& sha256) {
  nlohmann::json recipe = {{"sha256", sha256},
                           {"tokenizer", tokenizer},
                           {"val_fraction", options.val_fraction},
                           {"shard_format", options.shard_format},
                           {"shard_tokens", options.shard_tokens}};
  if (tokenizer == "bpe" && options.vocabulary.empty()) recipe["vocab_size"] = options.vocab_size;
  if (tokenizer == "bpe" && !options.vocabulary.empty())
    recipe["vocabulary"] = sha256_hex(read_once(options.vocabulary, kMaxTokenizerBytes));
  return recipe;
}

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

// Bytes of text that become the train split: the first int(n * (1 - val_fraction)) of n characters,
// as nanoGPT rounds.
uint64_t split_offset(std::string_view text, const TextScan& scan, double val_fraction) {
  const uint64_t n = scan.invalid_at ? text.size() : scan.characters;
  const auto train = static_cast<uint64_t>(static_cast<double>(n) * (1.0 - val_fraction));
  return scan.invalid_at ? train : utf8_offset(text, train);
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
    const TextScan scan =
        scan_text(text, [&](uint64_t done) { tell("read", text.size(), done / 2); });
    const std::string kind = choose_tokenizer(options_, known_, scan, notices_);
    sha256_ = sha256_hex(
        text, [&](uint64_t done) { tell("read", text.size(), (text.size() + done) / 2); });
    source.require_whole();
    if (is_prepared(kind, sha256_)) return true;
    try {
      write(source, scan, kind, sha256_);
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

  void write(const SourceText& source, const TextScan& scan, const std::string& kind,
             const std::string& sha256) {
    const std::string_view text = source.view();
    const uint64_t train_bytes = split_offset(text, scan, options_.val_fraction);
    const auto tokenizer = make_tokenizer(kind, text, train_bytes);
    const DataRoot root(folder_.parent_path());
    StagedFolder staged(folder_.string(), std::move(seen_));
    nlohmann::json splits;
    splits["train"] = write_split(staged.path(), "train", text, 0, train_bytes, *tokenizer);
    splits["val"] = write_split(staged.path(), "val", text, train_bytes, text.size(), *tokenizer);

    const nlohmann::json meta = {
        {"format_version", kMetaVersion},
        {"name", name_},
        {"source", known_ ? known_->source : shown_path(options_.what)},
        {"command", command_line(options_)},
        {"recipe", recipe(options_, kind, sha256)},
        {"text",
         {{"bytes", text.size()}, {"characters", scan.invalid_at ? text.size() : scan.characters}}},
        {"tokenizer", tokenizer->to_json()},
        {"vocab_size", tokenizer->vocab_size()},
        {"splits", splits},
        {"shard_format", options_.shard_format},
        {"created_by", kCreatedBy}};
    write_file_durably(staged.path() + "/meta.json", as_bytes(json_text(meta, 2) + "\n"));
    check_steady(source);
    if (kind_of(folder_.string()) == PathKind::kFolder) check_replaceable(folder_);
    staged.commit();
  }

  std::unique_ptr<Tokenizer> make_tokenizer(const std::string& kind, std::string_view text,
                                            uint64_t train_bytes) const {
    if (kind == "byte") return make_byte_tokenizer();
    if (kind == "char") return make_char_tokenizer(text);
    if (kind == "gpt2") {
      DownloadOptions download;
      download.timeout = options_.timeout;
      download.progress = [&](uint64_t done, uint64_t total) { tell("download", total, done); };
      return make_bpe_tokenizer(kind, load_gpt2_vocabulary(options_.vocabulary, download));
    }
    if (!options_.vocabulary.empty())
      return make_tokenizer_of(read_bpe_vocabulary(
          read_once(options_.vocabulary, kMaxTokenizerBytes), options_.vocabulary));
    // Of the train split alone: what validation measures must not shape the tokens.
    return make_bpe_tokenizer(
        kind, train_bpe(text.substr(0, train_bytes), options_.vocab_size, [&](int64_t done) {
          tell("merge", static_cast<uint64_t>(options_.vocab_size), static_cast<uint64_t>(done));
        }));
  }

  // Tokenises text[begin, end) in pieces, so that memory does not grow with the text.
  nlohmann::json write_split(const std::string& folder, const std::string& split,
                             std::string_view text, uint64_t begin, uint64_t end,
                             const Tokenizer& tokenizer) const {
    SplitWriter writer(folder, split,
                       options_.shard_format == "llmc" ? ShardFormat::kLlmC : ShardFormat::kNanoGpt,
                       static_cast<uint64_t>(options_.shard_tokens));
    while (begin < end) {
      tell("tokenize", text.size(), begin);
      const std::string_view rest = text.substr(begin, end - begin);
      const size_t part = tokenizer.part_end(rest, kPieceBytes);
      writer.append(tokenizer.encode(rest.substr(0, part)));
      begin += part;
    }
    if (writer.size() < 2)
      fail(fmt::format(
               "the text is too short: of its {} bytes the split {} gets {} tokens, at least "
               "2 are needed",
               text.size(), split, writer.size()),
           "a longer text, or another --val_fraction");
    return writer.finish();
  }

  PrepareReport report(bool already_prepared) {
    const Corpus corpus = Corpus::open(folder_.string());
    PrepareReport result = describe_prepared(corpus, read_meta(folder_));
    result.already_prepared = already_prepared;
    result.notices = std::move(notices_);
    return result;
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

void add_fields(FieldList& list, PrepareOptions& o) {
  list.section("prepare");
  list.add("name", o.name, "folder under data/; empty: the corpus's name or the file's");
  list.add("input", o.input,
           "a local copy of the corpus's text, instead of fetching it; of a corpus of documents, "
           "its files, one behind the other, or a folder of them")
      .path();
  list.add(
      "tokenizer", o.tokenizer,
      "auto: char for a text of at most 512 different characters, else byte; gpt2: GPT-2's "
      "byte pairs; bpe: byte pairs made for this text",
      {{"auto", "auto"}, {"char", "char"}, {"byte", "byte"}, {"gpt2", "gpt2"}, {"bpe", "bpe"}});
  list.add("vocab_size", o.vocab_size, "tokens of a bpe that is made for the text")
      .at_least(257)
      .at_most(65536)
      .needs("tokenizer = bpe", [&o] { return o.tokenizer == "bpe" && o.vocabulary.empty(); });
  list.add(
          "vocabulary", o.vocabulary,
          "with gpt2: vocab.bpe, tokenizer.json, a .tiktoken file or the npm package tiktoken's "
          "gpt2.json; empty: the one kept in data/tokenizers, or a download; with bpe: such a file "
          "of any byte pairs, or empty to make them")
      .path();
  list.add("shard_format", o.shard_format, "llmc: llm.c's header and uint16; nanogpt: bare uint16",
           {{"llmc", "llmc"}, {"nanogpt", "nanogpt"}});
  list.add("val_fraction", o.val_fraction,
           "part of the text, at its end, that is kept for validation")
      .above(0)
      .below(1);
  list.add("shard_tokens", o.shard_tokens, "tokens in one file; a longer split takes several")
      .at_least(2)
      .at_most(1'000'000'000);
  list.add("force", o.force, "replace a different corpus of that name");
  list.add("url", o.url, "another address of the corpus's text; its checksum stays the same");
  list.add("timeout", o.timeout, "seconds without an answer before a download is given up")
      .at_least(1)
      .at_most(86400)
      .needs("a download", [&o] {
        const KnownCorpus* known = find_known_corpus(o.what);
        return (known != nullptr && is_downloaded(*known) && o.input.empty()) ||
               (o.tokenizer == "gpt2" && o.vocabulary.empty());
      });
  list.add("max_bytes", o.max_bytes,
           "of a corpus of documents, the first files that have no more bytes together are fetched")
      .at_least(1)
      .at_most(1e15)
      .needs("a download of documents", [&o] {
        const KnownCorpus* known = find_known_corpus(o.what);
        return known != nullptr && known->has_documents && o.input.empty();
      });
}

PrepareReport prepare(const PrepareOptions& options, const PrepareProgress& progress,
                      const PrepareWarning& warn) {
  const KnownCorpus* known = find_known_corpus(options.what);
  if (known != nullptr && known->has_documents)
    return prepare_documents(options, *known, progress, warn);
  return Preparation(options, progress, warn).run();
}

}  // namespace fathom
