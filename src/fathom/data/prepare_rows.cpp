// A corpus of JSON lines: rows, or the token shards of texts.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/base/utf8.h"
#include "fathom/data/bpe.h"
#include "fathom/data/corpus_writer.h"
#include "fathom/data/permutation.h"
#include "fathom/data/prepare_content.h"
#include "fathom/data/prepare_internal.h"
#include "fathom/data/row.h"
#include "fathom/data/sample.h"
#include "fathom/data/xxh3_stream.h"
#include "fathom/io/files.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

// The distinct characters of many texts. They are UTF-8, for JSON is.
class Alphabet {
 public:
  void add(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++characters_) {
      const size_t length = std::max<size_t>(utf8_length(text, i), 1);
      const uint32_t c = utf8_decode(text, i, length);
      if (c >= seen_.size()) seen_.resize(c + 1);
      seen_[c] = true;
      i += length;
    }
  }
  TextScan scan() const {
    TextScan scan;
    scan.characters = characters_;
    for (uint32_t c = 0; c < seen_.size(); ++c)
      if (seen_[c]) scan.alphabet.push_back(c);
    return scan;
  }

 private:
  std::vector<bool> seen_;
  uint64_t characters_ = 0;
};

class RowContent : public Content {
 public:
  RowContent(const PrepareOptions& options, std::string_view text, const StageProgress& progress,
             std::vector<std::string>& notices)
      : options_(options),
        fields_{options.prompt_field, options.truth_field, options.text_field, options.title_field},
        text_(text),
        progress_(progress),
        notices_(notices) {
    read_all();
    const uint64_t n = lines_.size();
    if (n == 0) fail_no_rows();
    train_ = train_count(n, options.val_fraction);
    if (train_ == 0 || train_ == n)
      fail(fmt::format("{} has {} rows, of which the split {} would get none", shown_name(), n,
                       train_ == 0 ? "train" : "val"),
           "more rows, or another --val_fraction");
    if (skipped_ > 0)
      notices.push_back(fmt::format("{} rows have neither an answer nor a text and are left out",
                                    with_commas(static_cast<int64_t>(skipped_))));
    order_.emplace(n, static_cast<uint64_t>(options.seed), "prepare/rows");
  }

  const TextScan& scan() const override { return scan_; }

  // With a newline, which ends an answer.
  std::unique_ptr<Tokenizer> character_tokenizer() const override {
    std::string text = "\n";
    for (const uint32_t c : scan_.alphabet) utf8_append(text, c);
    return make_char_tokenizer(text);
  }

  BpeVocabulary byte_pairs(int64_t size,
                           const std::function<void(int64_t)>& progress) const override {
    std::string all;
    for (uint64_t i = 0; i < train_; ++i) {
      const Row row = row_at(i);
      for (const std::string& part : {title_prompt(row), row.text, row.prompt, row.truth})
        if (!part.empty()) all += part + "\n";
    }
    return train_bpe(all, size, progress, specials_of(options_));
  }

  nlohmann::json write(const std::string& folder, const Tokenizer& tokenizer) const override {
    const bool keeps = has_answers_ || options_.rows;
    if (!tokenizer.end_of_text())
      notices_.push_back(fmt::format(
          "a newline is the end of each row, for the {} tokenizer has no {}{}", tokenizer.kind(),
          kEndOfText,
          of_lines_ > 0 ? fmt::format("; {} answers have newlines within, --tokenizer bpe or gpt2 "
                                      "tells their ends",
                                      with_commas(static_cast<int64_t>(of_lines_)))
                        : ""));
    if (keeps && specials_of(options_) == Specials::kText)
      misuse(fmt::format("specials = text has no meaning for the rows of {}, which stay text and "
                         "become tokens when they are read",
                         shown_name()),
             "leave --specials out");
    if (specials_of(options_) == Specials::kTokens) note_specials(specials_, tokenizer, notices_);
    nlohmann::json splits;
    for (const auto& [split, begin, end] :
         {std::tuple{"train", uint64_t{0}, train_}, {"val", train_, uint64_t(lines_.size())}})
      splits[split] = keeps ? write_rows(folder, split, begin, end, tokenizer)
                            : write_shards(folder, split, begin, end, tokenizer);
    return {{"kind", keeps ? "rows" : "shards"},
            {"text", {{"bytes", bytes_}, {"characters", scan_.characters}}},
            {"splits", splits}};
  }

 private:
  std::string shown_name() const { return escaped(options_.what); }

  std::string_view line_at(size_t offset) const {
    return text_.substr(offset, text_.find('\n', offset) - offset);
  }
  std::string name_of(uint64_t line) const {
    return fmt::format("{}, line {}", shown_name(), line + 1);
  }

  void read_all() {
    Alphabet alphabet;
    size_t told = 0;
    for (size_t begin = 0, line = 0; begin < text_.size(); ++line) {
      const std::string_view content = line_at(begin);
      if (!trim(content).empty()) {
        if (const auto row = read_row(content, fields_, name_of(line))) {
          lines_.push_back({begin, line});
          has_answers_ = has_answers_ || !row->is_text;
          of_lines_ += row->truth.find('\n') != std::string::npos;
          for (const std::string& part : {title_prompt(*row), row->text, row->prompt, row->truth}) {
            alphabet.add(part);
            specials_ += count_specials(part);
            bytes_ += part.size();
          }
        } else if (++skipped_ == 1) {
          first_skipped_ = content;
        }
      }
      begin += content.size() + 1;
      if (begin - told >= (1 << 20)) progress_("read", text_.size(), (told = begin) / 2);
    }
    scan_ = alphabet.scan();
  }

  [[noreturn]] void fail_no_rows() const {
    if (skipped_ == 0) fail(fmt::format("{} has no rows", shown_name()), "a file of JSON lines");
    fail(
        fmt::format("no row of {} has the field {} or {}, the first one has: {}", shown_name(),
                    quoted_start(fields_.truth), quoted_start(fields_.text),
                    shown_fields(first_skipped_)),
        "--prompt_field and --truth_field name those of a prompt and its answer, --text_field that "
        "of a text");
  }

  // Number i of the shuffled order.
  Row row_at(uint64_t i) const {
    const Line& line = lines_[(*order_)[i]];
    auto row = read_row(line_at(line.begin), fields_, name_of(line.number));
    if (!row) fail(name_of(line.number) + " was changed while it was being read");
    return std::move(*row);
  }

  void tell(uint64_t done) const {
    if (done % 256 == 0) progress_("tokenize", lines_.size(), done);
  }

  nlohmann::json write_rows(const std::string& folder, const std::string& split, uint64_t begin,
                            uint64_t end, const Tokenizer& tokenizer) const {
    const std::string file = split + ".jsonl";
    NewFile out((fs::path(folder) / file).string());
    Xxh3 hash;
    uint64_t tokens = 0, bytes = 0;
    for (uint64_t i = begin; i < end; ++i) {
      tell(i);
      const Row row = row_at(i);
      const std::string line = row_line(row) + "\n";
      if (line.size() > kMostRowBytes)
        fail(fmt::format("a row of {} has {} bytes, at most {} are allowed", shown_name(),
                         line.size(), kMostRowBytes),
             "cut it into several rows, or leave it out");
      out.write(as_bytes(line));
      hash.add(line.data(), line.size());
      tokens += make_sample(tokenizer, row).tokens.size();
      bytes += line.size();
    }
    out.commit();
    return {{{"file", file},
             {"rows", end - begin},
             {"tokens", tokens},
             {"bytes", bytes},
             {"xxh3", xxh3_hex(hash.value())}}};
  }

  // Texts with an end behind each.
  nlohmann::json write_shards(const std::string& folder, const std::string& split, uint64_t begin,
                              uint64_t end, const Tokenizer& tokenizer) const {
    SplitWriter writer(folder, split, shard_format_of(options_),
                       static_cast<uint64_t>(options_.shard_tokens));
    for (uint64_t i = begin; i < end; ++i) {
      tell(i);
      const std::vector<uint32_t> tokens =
          make_sample(tokenizer, row_at(i), specials_of(options_)).tokens;
      writer.append(Span<const uint32_t>(tokens).subspan(1, tokens.size() - 1));
    }
    return writer.finish();
  }

  struct Line {
    size_t begin = 0;     // offset
    uint64_t number = 0;  // in the file, from 0
  };

  const PrepareOptions& options_;
  RowFields fields_;
  std::string_view text_;
  const StageProgress& progress_;
  std::vector<std::string>& notices_;
  std::vector<Line> lines_;  // those that are rows
  std::string_view first_skipped_;
  uint64_t skipped_ = 0, bytes_ = 0, train_ = 0;
  uint64_t specials_ = 0;  // "<|endoftext|>" in texts
  uint64_t of_lines_ = 0;  // answers that have a newline
  bool has_answers_ = false;
  TextScan scan_;
  std::optional<Permutation> order_;
};

}  // namespace

std::unique_ptr<Content> row_content(const PrepareOptions& options, std::string_view text,
                                     const StageProgress& progress,
                                     std::vector<std::string>& notices) {
  return std::make_unique<RowContent>(options, text, progress, notices);
}

}  // namespace fathom
