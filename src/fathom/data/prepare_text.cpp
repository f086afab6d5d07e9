// A corpus of one text: token shards.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/data/bpe.h"
#include "fathom/data/corpus_writer.h"
#include "fathom/data/prepare_content.h"

namespace fathom {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

class TextContent : public Content {
 public:
  TextContent(const PrepareOptions& options, std::string_view text, const StageProgress& progress)
      : options_(options), text_(text), progress_(progress) {
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
    return train_bpe(text_.substr(0, train_bytes_), size, progress);
  }

  nlohmann::json write(const std::string& folder, const Tokenizer& tokenizer) const override {
    const uint64_t characters = scan_.invalid_at ? text_.size() : scan_.characters;
    nlohmann::json splits;
    splits["train"] = write_split(folder, "train", 0, train_bytes_, tokenizer);
    splits["val"] = write_split(folder, "val", train_bytes_, text_.size(), tokenizer);
    return {{"text", {{"bytes", text_.size()}, {"characters", characters}}}, {"splits", splits}};
  }

 private:
  // In pieces, so that memory does not grow with the text.
  nlohmann::json write_split(const std::string& folder, const std::string& split, uint64_t begin,
                             uint64_t end, const Tokenizer& tokenizer) const {
    SplitWriter writer(folder, split, shard_format_of(options_),
                       static_cast<uint64_t>(options_.shard_tokens));
    while (begin < end) {
      progress_("tokenize", text_.size(), begin);
      const std::string_view rest = text_.substr(begin, end - begin);
      const size_t part = tokenizer.part_end(rest, kPieceBytes);
      writer.append(tokenizer.encode(rest.substr(0, part)));
      begin += part;
    }
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
  TextScan scan_;
  uint64_t train_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Content> text_content(const PrepareOptions& options, std::string_view text,
                                      const StageProgress& progress) {
  return std::make_unique<TextContent>(options, text, progress);
}

uint64_t train_count(uint64_t n, double val_fraction) {
  return static_cast<uint64_t>(static_cast<double>(n) * (1.0 - val_fraction));
}

ShardFormat shard_format_of(const PrepareOptions& options) {
  return options.shard_format == "llmc" ? ShardFormat::kLlmC : ShardFormat::kNanoGpt;
}

}  // namespace fathom
