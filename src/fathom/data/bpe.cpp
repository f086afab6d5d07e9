#include "fathom/data/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <queue>
#include <tuple>
#include <unordered_map>

#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};
constexpr size_t kShortPiece = 64;  // bytes; below it scanning all pairs is faster than a heap

uint64_t pair_key(uint32_t left, uint32_t right) {
  return uint64_t{left} << 32 | right;
}

class BpeTokenizer : public Tokenizer {
 public:
  BpeTokenizer(std::string kind, BpeVocabulary vocabulary)
      : kind_(std::move(kind)), vocabulary_(std::move(vocabulary)) {
    validate(vocabulary_);
    std::unordered_map<std::string_view, uint32_t> id_of;
    for (uint32_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      id_of[vocabulary_.tokens[id]] = id;
      if (vocabulary_.tokens[id].size() == 1)
        byte_id_[static_cast<unsigned char>(vocabulary_.tokens[id][0])] = id;
    }
    // Any two tokens that together are one, whatever merge made it.
    for (uint32_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      const std::string_view token = vocabulary_.tokens[id];
      for (size_t cut = 1; cut < token.size(); ++cut) {
        const auto left = id_of.find(token.substr(0, cut)), right = id_of.find(token.substr(cut));
        if (left != id_of.end() && right != id_of.end())
          merged_[pair_key(left->second, right->second)] = id;
      }
    }
  }

  std::string kind() const override { return kind_; }
  int64_t vocab_size() const override { return static_cast<int64_t>(vocabulary_.size()); }

  std::vector<uint32_t> encode(std::string_view text) const override {
    std::vector<uint32_t> ids;
    ids.reserve(text.size() / 3);
    // Most pieces come again: where their ids are in `ids`.
    std::unordered_map<std::string_view, std::pair<size_t, size_t>> known;
    for_each_piece(text, [&](std::string_view piece) {
      const auto [at, is_new] = known.try_emplace(piece, ids.size(), 0);
      if (is_new) {
        encode_piece(piece, ids);
        at->second.second = ids.size();
        return;
      }
      const auto [first, last] = at->second;
      for (size_t i = first; i < last; ++i) ids.push_back(ids[i]);
    });
    return ids;
  }

  std::string decode(Span<const uint32_t> ids) const override {
    std::string text;
    for (const uint32_t id : ids) {
      if (id < vocabulary_.tokens.size())
        text += vocabulary_.tokens[id];
      else if (id < vocabulary_.size())
        text += vocabulary_.specials[id - vocabulary_.tokens.size()];
      else
        fail(fmt::format("token {} is outside the vocabulary of {} tokens", id, vocab_size()),
             "the ids come from another tokenizer than this one");
    }
    return text;
  }

  nlohmann::json to_json() const override {
    nlohmann::json json = fathom::to_json(vocabulary_);
    json["kind"] = kind_;
    return json;
  }

  size_t part_end(std::string_view text, size_t limit) const override {
    const auto is_space = [](char c) { return c == ' ' || c == '\n'; };
    const auto is_cut = [&](size_t i) {  // a plain letter or sign before it, a space after it
      return text[i - 1] > ' ' && text[i - 1] < 0x7f && is_space(text[i]);
    };
    if (limit >= text.size()) return text.size();
    for (size_t i = limit; i > 0; --i)
      if (is_cut(i)) return i;
    for (size_t i = limit + 1; i < text.size(); ++i)
      if (is_cut(i)) return i;
    return text.size();
  }

 private:
  uint32_t merged(uint32_t left, uint32_t right) const {
    const auto found = merged_.find(pair_key(left, right));
    return found == merged_.end() ? kNone : found->second;
  }

  void encode_piece(std::string_view piece, std::vector<uint32_t>& ids) const {
    std::vector<uint32_t> parts;
    parts.reserve(piece.size());
    for (const char c : piece) parts.push_back(byte_id_[static_cast<unsigned char>(c)]);
    if (piece.size() <= kShortPiece)
      merge_short(parts);
    else
      merge_long(parts);
    ids.insert(ids.end(), parts.begin(), parts.end());
  }

  // Again and again the pair that makes the lowest id, the first of equal ones.
  void merge_short(std::vector<uint32_t>& parts) const {
    for (;;) {
      uint32_t lowest = kNone;
      size_t at = 0;
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        const uint32_t id = merged(parts[i], parts[i + 1]);
        if (id < lowest) lowest = id, at = i;
      }
      if (lowest == kNone) return;
      parts[at] = lowest;
      parts.erase(parts.begin() + static_cast<int64_t>(at) + 1);
    }
  }

  // The same with a heap over a linked list: a megabyte of one letter must not take an hour.
  void merge_long(std::vector<uint32_t>& parts) const {
    const auto n = static_cast<int64_t>(parts.size());
    std::vector<int64_t> next(parts.size()), before(parts.size());
    for (int64_t i = 0; i < n; ++i) next[size_t(i)] = i + 1, before[size_t(i)] = i - 1;
    using Merge = std::tuple<uint32_t, int64_t, uint32_t, uint32_t>;  // id, place, left, right
    std::priority_queue<Merge, std::vector<Merge>, std::greater<>> heap;
    const auto offer = [&](int64_t i) {
      if (i < 0 || next[size_t(i)] >= n) return;
      const uint32_t left = parts[size_t(i)], right = parts[size_t(next[size_t(i)])];
      const uint32_t id = merged(left, right);
      if (id != kNone) heap.emplace(id, i, left, right);
    };
    for (int64_t i = 0; i < n; ++i) offer(i);
    while (!heap.empty()) {
      const auto [id, i, left, right] = heap.top();
      heap.pop();
      // What was offered may have been merged away meanwhile.
      const int64_t j = next[size_t(i)];
      if (parts[size_t(i)] != left || j >= n || parts[size_t(j)] != right) continue;
      parts[size_t(i)] = id;
      parts[size_t(j)] = kNone;
      next[size_t(i)] = next[size_t(j)];
      if (next[size_t(i)] < n) before[size_t(next[size_t(i)])] = i;
      offer(i);
      offer(before[size_t(i)]);
    }
    parts.erase(std::remove(parts.begin(), parts.end(), kNone), parts.end());
  }

  std::string kind_;
  BpeVocabulary vocabulary_;
  std::array<uint32_t, 256> byte_id_{};
  std::unordered_map<uint64_t, uint32_t> merged_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_bpe_tokenizer(const std::string& kind, BpeVocabulary vocabulary) {
  return std::make_unique<BpeTokenizer>(kind, std::move(vocabulary));
}

}  // namespace fathom
