#include "fathom/data/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/bpe.h"
#include "fathom/data/content_kind.h"
#include "fathom/data/corpus_meta.h"
#include "fathom/data/corpus_writer.h"
#include "fathom/data/download.h"
#include "fathom/data/gpt2_vocabulary.h"
#include "fathom/data/prepare_internal.h"
#include "fathom/data/shard_record.h"
#include "fathom/data/source_text.h"
#include "fathom/data/text_scan.h"
#include "fathom/io/json_text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr const char* kCreatedBy = "fathom " FATHOM_VERSION;
constexpr size_t kMaxAlphabet = 512;  // a larger alphabet is no character corpus by default
constexpr size_t kPieceBytes = 1 << 20;

std::string sanitised(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') c = '_';
  if (name.empty() || name.front() == '.') name.insert(0, "text");
  return name.substr(0, 100);
}

// The folder's name, after every check that needs no text.
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

  std::error_code ignored;
  if (!known && !fs::is_regular_file(o.what, ignored)) {
    std::vector<std::string> names;
    for (const KnownCorpus& corpus : known_corpora()) names.push_back(corpus.name);
    misuse(fmt::format("{} is neither a text file nor a corpus that is prepared by name ({})",
                       in_quotes(o.what), join(names, ", ")),
           nearest_name(o.what, names).empty() ? "give the path of a text file"
                                               : suggestion(o.what, names));
  }
  if (!known && !o.input.empty())
    misuse(fmt::format("--input {} is given beside the text file {}", o.input, o.what),
           "--input is the copy of a corpus that is prepared by name");
  if (!o.url.empty() && (!known || known->url.empty()))
    misuse(fmt::format("--url has no meaning for {}, which is not downloaded", o.what));
  if (!o.url.empty() && !o.input.empty())
    misuse("--url and --input are both given", "leave out one");
  if (!o.vocabulary.empty() && o.tokenizer != "gpt2")
    misuse(fmt::format("--vocabulary has no meaning for --tokenizer {}", o.tokenizer),
           "it is the file of GPT-2's vocabulary: add --tokenizer gpt2");
  if (!o.name.empty() && o.name != sanitised(o.name))
    misuse(fmt::format("--name {} is no name for a folder", in_quotes(o.name)),
           fmt::format("letters, digits, '_', '-' and '.', such as {}", sanitised(o.name)));
  if (!o.name.empty()) return o.name;
  return known ? known->name : sanitised(fs::path(o.what).stem().string());
}

std::string shell_word(const std::string& text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string("_-./:=,+").find(c) != std::string::npos;
  });
  if (plain && !text.empty()) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

// The line that prepares the same corpus again: every field that is not at its default.
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
    line += fmt::format(" --{} {}", field.name(),
                        shell_word(value.is_string() ? value.get<std::string>() : value.dump()));
  }
  return line;
}

// Equal recipes give equal shards.
nlohmann::json recipe(const PrepareOptions& options, const std::string& tokenizer,
                      const std::string& sha256) {
  nlohmann::json recipe = {{"sha256", sha256},
                           {"tokenizer", tokenizer},
                           {"val_fraction", options.val_fraction},
                           {"shard_format", options.shard_format},
                           {"shard_tokens", options.shard_tokens}};
  if (tokenizer == "bpe") recipe["vocab_size"] = options.vocab_size;
  return recipe;
}

nlohmann::json read_meta(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_regular_file(folder / "meta.json", ignored)) return nullptr;
  const std::string path = (folder / "meta.json").string();
  try {
    return parse_json(read_text_file(path, kMetaBytes), path);
  } catch (const Error&) {
    return nullptr;  // another corpus than any that is asked for
  }
}

// Replacing a folder removes what is in it: only what a preparation wrote may go.
void check_replaceable(const fs::path& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const fs::path file = entry.path().filename();
    if (is_shard_record(file.string())) continue;
    if (file == "meta.json" || (file.extension() == ".bin" && entry.is_regular_file())) continue;
    fail(fmt::format("{} holds {}, which no preparation has written, and would be replaced whole",
                     folder.string(), in_quotes(file.string())),
         "move it away, or choose another --name");
  }
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
  Preparation(const PrepareOptions& options, const PrepareProgress& progress)
      : options_(options),
        progress_(progress),
        known_(find_known_corpus(options.what)),
        name_(check_options(options, known_)),
        folder_(fs::path(data_root()) / name_) {}

  PrepareReport run() {
    // The text of a corpus with a known checksum need not be fetched to see that it is there.
    if (known_ && !known_->sha256.empty() && is_prepared(known_tokenizer(), known_->sha256))
      return report(true);
    const SourceText source = load_source_text(options_, known_, progress_);
    const std::string_view mark = byte_order_mark(source.view());
    const std::string_view text = source.view().substr(mark.size());
    if (text.empty()) fail(fmt::format("the text of {} is empty", options_.what));
    require_text(text, options_.what);
    if (!mark.empty()) notices_.emplace_back("the byte order mark at the text's start is left out");
    tell("read", text.size());
    const TextScan scan = scan_text(text);
    const std::string kind = choose_tokenizer(options_, known_, scan, notices_);
    const std::string sha256 = sha256_hex(text);
    if (is_prepared(kind, sha256)) return report(true);
    write(text, scan, kind, sha256);
    return report(false);
  }

 private:
  void tell(const char* stage, uint64_t total, uint64_t done = 0) const {
    if (progress_) progress_(stage, done, total);
  }

  std::string known_tokenizer() const {
    return options_.tokenizer == "auto" ? known_->tokenizer : options_.tokenizer;
  }

  // True when nothing is to be done. Throws when something else is in the place.
  bool is_prepared(const std::string& kind, const std::string& sha256) {
    std::error_code ignored;
    if (!fs::exists(folder_, ignored)) return false;
    const nlohmann::json meta = read_meta(folder_);
    const bool same = meta.is_object() && meta.contains("recipe") &&
                      meta["recipe"] == recipe(options_, kind, sha256);
    if (same && !options_.force) {
      try {
        Corpus::open(folder_.string());
        return true;
      } catch (const Error& error) {
        notices_.push_back(fmt::format("made again, for {}", error.what()));
      }
    } else if (!options_.force && !fs::is_empty(folder_, ignored)) {
      fail(fmt::format("{} already holds a different corpus", folder_.string()),
           "--force replaces it, --name gives this one another place");
    }
    check_replaceable(folder_);
    return false;
  }

  void write(std::string_view text, const TextScan& scan, const std::string& kind,
             const std::string& sha256) {
    const uint64_t train_bytes = split_offset(text, scan, options_.val_fraction);
    const auto tokenizer = make_tokenizer(kind, text, train_bytes);
    std::error_code error;
    fs::create_directories(folder_.parent_path(), error);
    if (error)
      fail(fmt::format("cannot create the folder {}: {}", data_root(), error.message()),
           "FATHOM_DATA names another place for corpora");
    StagedFolder staged(folder_.string());
    nlohmann::json splits;
    splits["train"] = write_split(staged.path(), "train", text, 0, train_bytes, *tokenizer);
    splits["val"] = write_split(staged.path(), "val", text, train_bytes, text.size(), *tokenizer);

    const nlohmann::json meta = {
        {"format_version", kMetaVersion},
        {"name", name_},
        {"source", known_ ? known_->source : options_.what},
        {"command", command_line(options_)},
        {"recipe", recipe(options_, kind, sha256)},
        {"text",
         {{"bytes", text.size()}, {"characters", scan.invalid_at ? text.size() : scan.characters}}},
        {"tokenizer", tokenizer->to_json()},
        {"vocab_size", tokenizer->vocab_size()},
        {"splits", splits},
        {"shard_format", options_.shard_format},
        {"created_by", kCreatedBy}};
    write_file_durably(staged.path() + "/meta.json", as_bytes(meta.dump(2) + "\n"));
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
  const KnownCorpus* known_;  // null: options_.what is a file
  std::string name_;
  fs::path folder_;
  std::vector<std::string> notices_;
};

}  // namespace

void add_fields(FieldList& list, PrepareOptions& o) {
  list.section("prepare");
  list.add("name", o.name, "folder under data/; empty: the corpus's name or the file's");
  list.add("input", o.input, "a local copy of the corpus's text, instead of fetching it");
  list.add(
      "tokenizer", o.tokenizer,
      "auto: char for a text of at most 512 different characters, else byte; gpt2: GPT-2's "
      "byte pairs; bpe: byte pairs made for this text",
      {{"auto", "auto"}, {"char", "char"}, {"byte", "byte"}, {"gpt2", "gpt2"}, {"bpe", "bpe"}});
  list.add("vocab_size", o.vocab_size, "tokens of a bpe that is made for the text")
      .at_least(257)
      .at_most(65536);
  list.add("vocabulary", o.vocabulary,
           "with gpt2: vocab.bpe, a .tiktoken file or the npm package tiktoken's gpt2.json; empty: "
           "the one kept in data/tokenizers, or a download");
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
      .at_most(86400);
}

PrepareReport prepare(const PrepareOptions& options, const PrepareProgress& progress) {
  return Preparation(options, progress).run();
}

}  // namespace fathom
