// A corpus of one text: token shards.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/data/bpe.h"
#include "fathom/data/prepare_content.h"
#include "fathom/data/prepare_internal.h"
#include "fathom/data/split_tokens.h"

namespace fathom {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

class TextContent : public Content {
 public:
  TextContent(const PrepareOptions& options, std::string_view text, const StageProgress& progress,
              std::vector<std::string>& notices)
      : options_(options), text_(text), progress_(progress), notices_(notices) {
    scan_ = scan_text(text, [&](uint64_t done) { progress_("read", text_.size(), done / 2); });
    const uint64_t train = train_count(scan_.invalid_at ? text.size() : scan_.characters,
                                       options.val_fraction);  // characters, where it has them
    train_bytes_ = scan_.invalid_at ? train : utf8_offset(text, train);
  }

  const TextScan& scan() const override { return scan_; }
  std::unique_ptr<Tokenizer> character_tokenizer() const override {
    return make_char_tokenizer(text_);
  }
  BpeVocabulary byte_pairs(int64_t size,
                           const std::function<void(int64_t)>& progress) const override {
    return train_bpe(text_.substr(0, train_bytes_), size, progress, specials_of(options_));
  }

  nlohmann::json write(const std::string& folder, const Tokenizer& tokenizer) const override {
    const uint64_t characters = scan_.invalid_at ? text_.size() : scan_.characters;
    nlohmann::json splits;
    uint64_t specials = 0;
    const uint64_t cut = cut_of(tokenizer);
    splits["train"] = write_split(folder, "train", 0, cut, tokenizer, specials);
    splits["val"] = write_split(folder, "val", cut, text_.size(), tokenizer, specials);
    note_specials(specials, tokenizer, notices_);
    WindowsMarks windows;
    windows.add(text_);
    windows.note(notices_);
    return {{"text", {{"bytes", text_.size()}, {"characters", characters}}}, {"splits", splits}};
  }

 private:
  // Where training ends; not within a special, which is then its last token.
  uint64_t cut_of(const Tokenizer& tokenizer) const {
    const std::string_view mark = kEndOfText;
    if (!tokenizer.end_of_text() || specials_of(options_) == Specials::kText) return train_bytes_;
    const uint64_t from = train_bytes_ - std::min<uint64_t>(train_bytes_, mark.size() - 1);
    const size_t at = text_.substr(from, 2 * (mark.size() - 1)).find(mark);
    const uint64_t end = at == text_.npos ? 0 : from + at + mark.size();
    return std::max(end, train_bytes_);
  }

  // In pieces, so that memory does not grow with the text. Adds to `specials` how many there are.
  nlohmann::json write_split(const std::string& folder, const std::string& split, uint64_t begin,
                             uint64_t end, const Tokenizer& tokenizer, uint64_t& specials) const {
    SplitTokens tokens(tokenizer, specials_of(options_),
                       SplitWriter(folder, split, shard_format_of(options_),
                                   static_cast<uint64_t>(options_.shard_tokens)));
    for (; begin < end; begin += std::min<uint64_t>(kPieceBytes, end - begin)) {
      progress_("tokenize", text_.size(), begin);
      tokens.text(text_.substr(begin, std::min<uint64_t>(kPieceBytes, end - begin)));
    }
    tokens.end();
    specials += tokens.specials();
    SplitWriter& writer = tokens.writer();
    if (writer.size() < 2)
      fail(fmt::format(
               "the text is too short: of its {} bytes the split {} gets {} tokens, at least "
               "2 are needed",
               text_.size(), split, writer.size()),
           "a longer text, or another --val_fraction");
    return writer.finish();
  }

  const PrepareOptions& options_;
  std::string_view text_;
  const StageProgress& progress_;
  std::vector<std::string>& notices_;
  TextScan scan_;
  uint64_t train_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Content> text_content(const PrepareOptions& options, std::string_view text,
                                      const StageProgress& progress,
                                      std::vector<std::string>& notices) {
  return std::make_unique<TextContent>(options, text, progress, notices);
}

uint64_t train_count(uint64_t n, double val_fraction) {
  return static_cast<uint64_t>(static_cast<double>(n) * (1.0 - val_fraction));
}

ShardFormat shard_format_of(const PrepareOptions& options) {
  return options.shard_format == "llmc" ? ShardFormat::kLlmC : ShardFormat::kNanoGpt;
}

}  // namespace fathom
