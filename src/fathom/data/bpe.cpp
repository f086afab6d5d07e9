#include "fathom/data/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <queue>
#include <unordered_map>

#include "fathom/base/error.h"
#include "fathom/data/shard.h"

namespace fathom {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};
constexpr size_t kShortPiece = 64;  // bytes; below it looking at all pairs is faster than a heap
constexpr int16_t kMakesNothing = 32767;  // id 65,535, where ids begin with -32,768

// The token that two tokens make together. Filled once, then asked for every pair of a text.
class PairTable {
 public:
  struct Entry {
    uint32_t pair = 0, id = kNone;
  };

  static uint32_t pair_of(uint32_t left, uint32_t right) { return left << 16 | right; }
  void fill(const std::vector<Entry>& entries) {
    while (slots_.size() < 2 * entries.size() + 2) slots_.resize(2 * slots_.size());
    for (const Entry& entry : entries) {
      size_t slot = first_slot(entry.pair);
      while (slots_[slot].id != kNone) slot = (slot + 1) & (slots_.size() - 1);
      slots_[slot] = entry;
    }
  }
  uint32_t find(uint32_t left, uint32_t right) const {  // kNone: they make none
    const uint32_t pair = pair_of(left, right);
    size_t slot = first_slot(pair);
    while (slots_[slot].id != kNone && slots_[slot].pair != pair)
      slot = (slot + 1) & (slots_.size() - 1);
    return slots_[slot].id;
  }

 private:
  size_t first_slot(uint32_t pair) const {
    return (pair * uint64_t{0x9E3779B97F4A7C15} >> 32) & (slots_.size() - 1);
  }
  std::vector<Entry> slots_ = std::vector<Entry>(2);  // a power of two, at most half of it taken
};

// Places of a long piece by the id that they would make.
struct Waiting {
  uint32_t id = 0;               // what was taken: the lowest id,
  std::vector<uint32_t> places;  // and where it would be made, in order

  void add(uint32_t made, uint32_t place) {
    if (made == kNone) return;
    if (made >= places_of_.size()) places_of_.resize(made + 1);
    if (places_of_[made].empty()) ids_.push(made);
    places_of_[made].push_back(place);
  }
  uint32_t lowest() const { return ids_.empty() ? kNone : ids_.top(); }
  bool take() {
    if (ids_.empty()) return false;
    id = ids_.top();
    ids_.pop();
    places.clear();
    places.swap(places_of_[id]);
    if (!std::is_sorted(places.begin(), places.end())) std::sort(places.begin(), places.end());
    return true;
  }

 private:
  std::vector<std::vector<uint32_t>> places_of_;
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> ids_;
};

bool is_one_piece(std::string_view text) {
  std::string_view piece;
  PieceReader(text).next(piece);
  return piece.size() == text.size();
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
    std::vector<PairTable::Entry> pairs;
    for (uint32_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      const std::string_view token = vocabulary_.tokens[id];
      for (size_t cut = 1; cut < token.size(); ++cut) {
        const auto left = id_of.find(token.substr(0, cut)), right = id_of.find(token.substr(cut));
        if (left != id_of.end() && right != id_of.end())
          pairs.push_back({PairTable::pair_of(left->second, right->second), id});
      }
    }
    pairs_.fill(pairs);
  }

  std::string kind() const override { return kind_; }
  int64_t vocab_size() const override { return static_cast<int64_t>(vocabulary_.size()); }

  std::vector<uint32_t> encode(std::string_view text) const override {
    std::vector<uint32_t> ids;
    ids.reserve(text.size() / 3);
    // Most pieces come again: where their ids are in `ids`.
    std::unordered_map<std::string_view, std::pair<size_t, size_t>> known;
    Waiting waiting;
    for_each_piece(text, [&](std::string_view piece) {
      const auto [at, is_new] = known.try_emplace(piece, ids.size(), 0);
      if (is_new) {
        encode_piece(piece, ids, waiting);
        at->second.second = ids.size();
        return;
      }
      const auto [first, last] = at->second;
      for (size_t i = first; i < last; ++i) ids.push_back(ids[i]);
    });
    return ids;
  }

  std::optional<uint32_t> end_of_text() const override {
    for (size_t i = 0; i < vocabulary_.specials.size(); ++i)
      if (vocabulary_.specials[i] == kEndOfText)
        return static_cast<uint32_t>(vocabulary_.tokens.size() + i);
    return {};
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
    if (limit >= text.size()) return text.size();
    // A plain letter or sign before it, a space after it: always between two pieces.
    for (size_t i = limit; i > 0; --i)
      if (text[i - 1] > ' ' && text[i - 1] < 0x7f && (text[i] == ' ' || text[i] == '\n')) return i;
    PieceReader reader(text);
    size_t end = 0, last = 0;  // of the last piece
    for (std::string_view piece; reader.next(piece); last = piece.size()) {
      end += piece.size();
      // Two pieces of spaces may be one where the text ends behind them.
      if (end >= limit &&
          (last == 0 || !is_one_piece(text.substr(end - piece.size() - last, piece.size() + last))))
        return end;
    }
    return end;
  }

 private:
  void encode_piece(std::string_view piece, std::vector<uint32_t>& ids, Waiting& waiting) const {
    std::vector<uint32_t> parts;
    parts.reserve(piece.size());
    for (const char c : piece) parts.push_back(byte_id_[static_cast<unsigned char>(c)]);
    if (piece.size() <= kShortPiece && vocabulary_.tokens.size() < kShardIdLimit)
      merge_short(parts);
    else
      merge_long(parts, waiting);
    ids.insert(ids.end(), parts.begin(), parts.end());
  }

  // Again and again the pair that makes the lowest id, the first of equal ones.
  void merge_short(std::vector<uint32_t>& parts) const {
    // What the part at a place makes with the next one: ids of 16 bits, the lowest of which a loop
    // of a fixed length finds eight at a time. Places that were merged away make nothing.
    std::array<int16_t, kShortPiece> makes;
    std::array<uint8_t, kShortPiece> next, before;
    makes.fill(kMakesNothing);
    const size_t n = parts.size();
    const auto look = [&](size_t i) {
      const uint32_t id = next[i] < n ? pairs_.find(parts[i], parts[next[i]]) : kNone;
      makes[i] = id == kNone ? kMakesNothing : static_cast<int16_t>(int32_t(id) - 32768);
    };
    for (size_t i = 0; i < n; ++i) {
      next[i] = static_cast<uint8_t>(i + 1), before[i] = static_cast<uint8_t>(i - 1);
      look(i);
    }
    for (;;) {
      int16_t lowest = kMakesNothing;
      for (const int16_t made : makes) lowest = std::min(lowest, made);
      if (lowest == kMakesNothing) break;
      const auto at = size_t(std::find(makes.begin(), makes.end(), lowest) - makes.begin());
      const size_t gone = next[at];
      parts[at] = static_cast<uint32_t>(lowest + 32768);
      parts[gone] = kNone;
      makes[gone] = kMakesNothing;
      next[at] = next[gone];
      if (next[at] < n) before[next[at]] = static_cast<uint8_t>(at);
      look(at);
      if (at > 0) look(before[at]);
    }
    parts.erase(std::remove(parts.begin(), parts.end(), kNone), parts.end());
  }

  // The same for a piece of any length: a megabyte of one letter must not take an hour. Places
  // wait under the id that they would make, ids in a heap, and the parts are a linked list.
  void merge_long(std::vector<uint32_t>& ids, Waiting& waiting) const {
    struct Part {
      uint32_t id, next, before;
    };
    const auto n = static_cast<uint32_t>(ids.size());  // at most kMaxPieceBytes
    std::vector<Part> parts(n);
    for (uint32_t i = 0; i < n; ++i) parts[i] = {ids[i], i + 1, i - 1};
    const auto made_at = [&](uint32_t i) {
      return parts[i].next < n ? pairs_.find(parts[i].id, parts[parts[i].next].id) : kNone;
    };
    for (uint32_t i = 0; i < n; ++i) waiting.add(made_at(i), i);
    while (waiting.take()) {
      for (size_t k = 0; k < waiting.places.size(); ++k) {
        const uint32_t i = waiting.places[k];
        if (k + 8 < waiting.places.size()) __builtin_prefetch(&parts[waiting.places[k + 8]]);
        Part& part = parts[i];
        // What was offered may have been merged away meanwhile.
        if (part.id == kNone || made_at(i) != waiting.id) continue;
        if (waiting.lowest() < waiting.id) {  // made by the merge before: it comes first
          waiting.add(waiting.id, i);
          continue;
        }
        part.id = waiting.id;
        parts[part.next].id = kNone;
        part.next = parts[part.next].next;
        if (part.next < n) parts[part.next].before = i;
        waiting.add(made_at(i), i);
        if (part.before < n) waiting.add(made_at(part.before), part.before);
      }
    }
    ids.clear();
    for (uint32_t i = 0; i < n; i = parts[i].next) ids.push_back(parts[i].id);
  }

  std::string kind_;
  BpeVocabulary vocabulary_;
  std::array<uint32_t, 256> byte_id_{};
  PairTable pairs_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_bpe_tokenizer(const std::string& kind, BpeVocabulary vocabulary) {
  return std::make_unique<BpeTokenizer>(kind, std::move(vocabulary));
}

}  // namespace fathom
