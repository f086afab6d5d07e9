#include "fathom/data/split_tokens.h"

#include <algorithm>
#include <utility>

#include "fathom/data/bpe.h"

namespace fathom {
namespace {

constexpr size_t kPartBytes = 1 << 20;
constexpr std::string_view kMark = kEndOfText;

}  // namespace

SplitTokens::SplitTokens(const Tokenizer& tokenizer, Specials specials, SplitWriter writer)
    : tokenizer_(tokenizer), specials_are_(specials), writer_(std::move(writer)) {
  if (specials == Specials::kTokens) end_of_text_ = tokenizer.end_of_text();
}

void SplitTokens::text(std::string_view part) {
  waiting_ += part;
  size_t begin = specials_are_ == Specials::kTokens ? take_specials() : 0;
  // What follows a part must be there, as far as a piece may reach.
  while (waiting_.size() - begin > 2 * kPartBytes + kMaxPieceBytes) {
    const std::string_view rest = std::string_view(waiting_).substr(begin);
    const size_t n = tokenizer_.part_end(rest, kPartBytes);
    writer_.append(tokenizer_.encode(rest.substr(0, n)));
    begin += n;
  }
  waiting_.erase(0, begin);
  // The end may be the beginning of one.
  searched_ = waiting_.size() - std::min(waiting_.size(), kMark.size() - 1);
}

void SplitTokens::end() {
  encode(waiting_);
  waiting_.clear();
  searched_ = 0;
}

size_t SplitTokens::take_specials() {
  size_t begin = 0;
  for (size_t at = waiting_.find(kMark, searched_); at != std::string::npos;
       at = waiting_.find(kMark, at + kMark.size())) {
    ++specials_;
    if (!end_of_text_) continue;
    encode(std::string_view(waiting_).substr(begin, at - begin));
    writer_.append({&*end_of_text_, 1});
    begin = at + kMark.size();
  }
  return begin;
}

// All of it, in parts.
void SplitTokens::encode(std::string_view text) {
  while (!text.empty()) {
    const size_t n = tokenizer_.part_end(text, kPartBytes);
    writer_.append(tokenizer_.encode(text.substr(0, n)));
    text.remove_prefix(n);
  }
}

}  // namespace fathom
