// What was asked of `fathom prepare`: its fields, their checks, and the line that asks for it
// again.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/data/corpus_name.h"
#include "fathom/data/download.h"
#include "fathom/data/numbers/example.h"
#include "fathom/data/prepare.h"
#include "fathom/data/prepare_internal.h"
#include "fathom/data/tokenizer_json.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr const char* kRows = "a file of JSON lines";

// A corpus of this name would not be found, or its folder is another's.
std::string free_name(std::string name) {
  if (name == kNumbers)
    misuse(fmt::format("{} is the name of arithmetic that is generated", kNumbers),
           "choose another name by --name");
  if (name == "tokenizers" || name == "downloads")
    misuse(fmt::format("a corpus cannot be called {}: its folder is where {} are kept", name,
                       name == "downloads" ? "downloaded files" : "vocabularies"),
           "choose another name by --name");
  return name;
}

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
  if (is_nameless(o.what) && o.name.empty())
    misuse(fmt::format("{} is no file whose name a corpus could have", in_quotes(o.what)),
           "add --name=NAME");
}

// "x.jsonl.gz" -> "x.jsonl"
fs::path unpacked_name(const fs::path& file) {
  for (const char* packed : {".gz", ".zst", ".xz", ".bz2"})
    if (file.extension() == packed) return file.stem();
  return file.filename();
}

bool has_byte_pairs(const PrepareOptions& o) {
  const KnownCorpus* known = find_known_corpus(o.what);
  return o.tokenizer == "gpt2" || o.tokenizer == "bpe" ||
         (o.tokenizer == "auto" && known != nullptr && known->has_documents);
}

}  // namespace

bool reads_rows(const PrepareOptions& o) {
  const KnownCorpus* known = find_known_corpus(o.what);
  if (known != nullptr && known->has_documents) return false;
  if (o.format != "auto") return o.format == "jsonl";
  const fs::path extension = unpacked_name(o.input.empty() ? o.what : o.input).extension();
  return extension == ".jsonl" || extension == ".ndjson" || extension == ".parquet";
}

std::vector<std::string> row_columns(const PrepareOptions& o) {
  std::vector<std::string> columns;
  for (std::string_view fields : {std::string_view(o.prompt_field), std::string_view(o.truth_field),
                                  std::string_view(o.text_field), std::string_view(o.title_field)})
    while (!fields.empty()) {
      const size_t comma = std::min(fields.find(','), fields.size());
      columns.emplace_back(trim(fields.substr(0, comma)));
      fields.remove_prefix(std::min(comma + 1, fields.size()));
    }
  columns.insert(columns.end(), {"messages", "conversations"});
  return columns;
}

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
  list.set("format", o.format, "prepare");
  list.set("seed", o.seed, "prepare");
  list.set("specials", o.specials, "prepare");

  if (!known) check_file(o);
  if (!known && !o.input.empty())
    misuse(fmt::format("--input {} is given beside the text file {}", o.input, o.what),
           "--input is the copy of a corpus that is prepared by name");
  if (!o.url.empty() && (!known || !is_downloaded(*known)))
    misuse(fmt::format("--url has no meaning for {}, which is not downloaded", o.what));
  if (!o.url.empty() && known->has_splits)
    misuse(fmt::format("--url names one file, and {} has files for training, validation and test",
                       o.what),
           fmt::format("`fathom prepare {} --input FILE FILE FILE` takes them", o.what));
  if (!o.url.empty() && !o.input.empty())
    misuse("--url and --input are both given", "leave out one");
  const bool of_documents = known && known->has_documents;
  if (!o.vocabulary.empty() && !has_byte_pairs(o))
    misuse(fmt::format("--vocabulary has no meaning for --tokenizer {}", o.tokenizer),
           "it is a file of byte pairs: add --tokenizer gpt2, or bpe");
  if (of_documents && o.format != "auto")
    misuse(fmt::format("--format has no meaning for {}", o.what),
           "its files are known by their content");
  if (!o.more_inputs.empty() && (!of_documents || o.input.empty()))
    misuse(fmt::format("unexpected word {}", in_quotes(o.more_inputs.front())),
           "several files are for corpora of documents: fathom prepare fineweb --input FILE FILE");
  if (!o.name.empty() && o.name != corpus_name_of(o.name))
    misuse(fmt::format("--name {} is no name for a folder", in_quotes(o.name)),
           fmt::format("visible characters other than '/', at most 100 bytes, such as {}",
                       corpus_name_of(o.name)));
  if (!o.name.empty()) return free_name(o.name);
  if (known) return known->name;
  const fs::path file = reads_rows(o) ? unpacked_name(o.what) : fs::path(o.what);
  return free_name(corpus_name_of(file.stem().string()));
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

Specials specials_of(const PrepareOptions& options) {
  return options.specials == "text" ? Specials::kText : Specials::kTokens;
}

void add_specials(const PrepareOptions& options, const std::string& tokenizer,
                  nlohmann::json& recipe) {
  if ((tokenizer == "gpt2" || tokenizer == "bpe") && options.specials == "text")
    recipe["specials"] = options.specials;
}

nlohmann::json recipe(const PrepareOptions& options, const std::string& tokenizer,
                      const std::string& sha256) {
  nlohmann::json recipe = {{"sha256", sha256},
                           {"tokenizer", tokenizer},
                           {"val_fraction", options.val_fraction},
                           {"shard_format", options.shard_format},
                           {"shard_tokens", options.shard_tokens}};
  add_specials(options, tokenizer, recipe);
  if (tokenizer == "bpe" && options.vocabulary.empty()) recipe["vocab_size"] = options.vocab_size;
  if (tokenizer == "bpe" && !options.vocabulary.empty())
    recipe["vocabulary"] = sha256_hex(read_once(options.vocabulary, kMaxTokenizerBytes));
  if (reads_rows(options))
    recipe["rows"] = {{"prompt", options.prompt_field}, {"truth", options.truth_field},
                      {"text", options.text_field},     {"title", options.title_field},
                      {"seed", options.seed},           {"keep", options.rows}};
  return recipe;
}

void add_fields(FieldList& list, PrepareOptions& o) {
  list.section("prepare");
  list.add("name", o.name, "folder under data/; empty: the corpus's name or the file's");
  list.add("input", o.input,
           "a local copy of the corpus's text, instead of fetching it; of a corpus of documents, "
           "its files, one behind the other, or a folder of them")
      .path();
  list.add(
      "tokenizer", o.tokenizer,
      "auto: char for a text of at most 512 different characters, else byte, and gpt2 for a "
      "corpus of documents; gpt2: GPT-2's byte pairs; bpe: byte pairs made for this text",
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
  list.add("specials", o.specials,
           "what <|endoftext|> in a text is; tokens: the token that ends a text, text: its letters",
           {{"tokens", "tokens"}, {"text", "text"}})
      .needs("byte pairs (tokenizer = gpt2 or bpe)", [&o] { return has_byte_pairs(o); });
  const auto rows = [&o] { return reads_rows(o); };
  list.add(
      "format", o.format,
      "text, or jsonl: an object in each line, prompt and answer or a text; auto: by the file's "
      "name, .jsonl, .ndjson or .parquet, packed ones too",
      {{"auto", "auto"}, {"text", "text"}, {"jsonl", "jsonl"}});
  list.add("rows", o.rows, "keep rows that are texts as rows, instead of joining them")
      .needs(kRows, rows);
  list.add("prompt_field", o.prompt_field,
           "where a row's prompt is; several fields by commas are joined by newlines")
      .needs(kRows, rows);
  list.add("truth_field", o.truth_field, "where its answer is").needs(kRows, rows);
  list.add("text_field", o.text_field, "where the text of a row without an answer is")
      .needs(kRows, rows);
  list.add("title_field", o.title_field, "where that text's title is").needs(kRows, rows);
  list.add("seed", o.seed, "of the rows' order, and so of those kept for validation")
      .at_least(0)
      .at_most(9007199254740992)
      .needs(kRows, rows);
  list.add("shard_format", o.shard_format, "llmc: llm.c's header and uint16; nanogpt: bare uint16",
           {{"llmc", "llmc"}, {"nanogpt", "nanogpt"}});
  list.add("val_fraction", o.val_fraction,
           "part of the text, at its end, or of the rows or documents, that is kept for "
           "validation; not given: of known corpora of documents a smaller part of their own, and "
           "their own files where they are published so")
      .above(0)
      .below(1);
  list.add("shard_tokens", o.shard_tokens, "tokens in one file; a longer split takes several")
      .at_least(2)
      .at_most(1'000'000'000);
  list.add("force", o.force, "replace a different corpus of that name");
  list.add("url", o.url,
           "another address of the corpus's text, whose checksum stays the same, or of one file of "
           "a corpus of documents");
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

}  // namespace fathom
