#include "fathom/decode/decoder.h"

#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {

Decoder::Decoder(const NextTokenModel& model, std::vector<std::vector<int64_t>> texts,
                 Window window, RandomField random)
    : model_(model),
      window_(window),
      random_(random),
      cache_(static_cast<int64_t>(texts.size()), window.capacity) {
  for (std::vector<int64_t>& tokens : texts) {
    if (tokens.empty()) fail("a text to go on from needs a token");
    const auto length = static_cast<int64_t>(tokens.size());
    if (window.overflow == Overflow::kStop && length > window.capacity)
      misuse(fmt::format("the text has {} tokens, the window takes at most {}", length,
                         window.capacity),
             "shorten it, or take --overflow=recompute or half");
    texts_.push_back({std::move(tokens), window.pinned, 0});
  }
}

bool Decoder::is_full(size_t text) const {
  return window_.overflow == Overflow::kStop && size(texts_[text]) > window_.capacity;
}

void Decoder::append(size_t text, int64_t token) {
  texts_[text].tokens.push_back(token);
}

void Decoder::truncate(size_t number, int64_t length) {
  Text& text = texts_[number];
  if (length < 1 || length > size(text))
    fail(fmt::format("a text of {} tokens cannot end after {}", size(text), length));
  forget_from(number, length);
  text.tokens.resize(static_cast<size_t>(length));
}

int64_t Decoder::known(size_t number) const {
  const Text& text = texts_[number];
  return window_.start(size(text)) == text.start ? text.known : 0;
}

void Decoder::forget_from(size_t number, int64_t token) {
  Text& text = texts_[number];
  if (token >= text.known) return;
  // Tokens behind the pinned ones have moved forward by those that were dropped.
  const int64_t dropped = text.start - window_.pinned;
  const int64_t position =
      token <= window_.pinned ? token : std::max(token - dropped, window_.pinned);
  cache_.truncate(static_cast<int64_t>(number), position);
  text.known = token;
}

// The tokens of a text that are to be computed, and where they begin in its window.
void Decoder::take_new(size_t number, std::vector<int64_t>& rows, int64_t& first_position) {
  Text& text = texts_[number];
  const int64_t start = window_.start(size(text));
  // What slid has other positions, so its keys are others.
  if (start != text.start || text.known == size(text)) {
    cache_.forget(static_cast<int64_t>(number));
    text.start = start;
    text.known = 0;
  }
  const auto take = [&](int64_t from, int64_t end) {
    if (from < end) rows.insert(rows.end(), text.tokens.begin() + from, text.tokens.begin() + end);
  };
  take(text.known, std::min(window_.pinned, size(text)));
  take(std::max(text.known, start), size(text));
  const int64_t dropped = start - window_.pinned;
  first_position =
      text.known <= window_.pinned ? text.known : std::max(text.known - dropped, window_.pinned);
  text.known = size(text);
}

NextToken Decoder::next(const Question& question) {
  const c10::InferenceMode no_graph;
  const KeptWeights::Use weights(weights_);
  const TensorPool::Use tensors(tensors_);
  std::vector<std::vector<int64_t>> rows(texts_.size());
  std::vector<int64_t> first_positions(texts_.size());
  const auto take = [&](size_t b) {
    if (!is_full(b)) take_new(b, rows[b], first_positions[b]);
  };
  for (const size_t b : question.texts) take(b);
  if (question.texts.empty())
    for (size_t b = 0; b < texts_.size(); ++b) take(b);
  const at::Device device = model_.parameters().all().front().tensor.device();
  Asked asked;
  asked.exit = question.exit;
  asked.last = question.last;
  asked.policy = question.policy;
  asked.cache = &cache_;
  asked.random = random_;
  return model_.next_token(Rows(rows, first_positions, device), asked);
}

}  // namespace fathom
