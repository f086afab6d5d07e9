// The merges of a byte-pair vocabulary. Pieces that come often stand there once, with their count;
// a merge visits the places where its pair stands and nothing else.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/bpe.h"
#include "fathom/data/shard.h"

namespace fathom {
namespace {

constexpr uint64_t kMaxCells = uint64_t{1} << 30;  // twice as many places are counted in 32 bits
constexpr uint32_t kNone = ~uint32_t{0};           // no pair

struct Pair {
  uint16_t left, right;
};

// Ascending as left, then right.
uint32_t key_of(Pair pair) {
  return uint32_t{pair.left} << 16 | pair.right;
}

Pair pair_of(uint32_t key) {
  return {static_cast<uint16_t>(key >> 16), static_cast<uint16_t>(key)};
}

// The text's different pieces, a cell a byte. The first and the last cell of a token hold its id,
// those between hold nothing; pieces are kept apart by a cell that holds nothing.
struct Cells {
  static constexpr uint16_t kNothing = 65535;  // no id: a vocabulary's last one is a special token
  static constexpr size_t kBlock = 32;
  struct Piece {
    size_t end;  // the first cell that is not its own
    int64_t count;
  };

  Cells(std::string_view text, Specials specials) {
    std::unordered_map<std::string_view, int64_t> counts;
    for (const std::string_view mark = kEndOfText; !text.empty();) {
      const size_t end = specials == Specials::kTokens ? text.find(mark) : text.npos;
      for_each_piece(text.substr(0, end), [&](std::string_view piece) { ++counts[piece]; });
      text.remove_prefix(end == text.npos ? text.size() : end + mark.size());
    }
    uint64_t size = 1;
    for (const auto& [piece, count] : counts) size += piece.size() + 1;
    if (size > kMaxCells)
      fail(fmt::format("the text has {} of different words, byte pairs are made of at most {}",
                       human_bytes(static_cast<double>(size)),
                       human_bytes(static_cast<double>(kMaxCells))),
           "make them of a part: `head -c 1G FILE > part.txt`");
    ids.reserve(size);
    pieces.reserve(counts.size());
    ids.push_back(kNothing);
    for (const auto& [piece, count] : counts) {
      for (const char c : piece) ids.push_back(static_cast<unsigned char>(c));
      pieces.push_back({ids.size(), count});
      ids.push_back(kNothing);
    }
    for (size_t cell = 0, piece = 0; cell < ids.size(); cell += kBlock) {
      while (piece + 1 < pieces.size() && pieces[piece].end <= cell) ++piece;
      first_piece.push_back(static_cast<uint32_t>(piece));
    }
  }
  int64_t count(size_t cell) const {  // of the piece that it is in
    const Piece* piece = &pieces[first_piece[cell / kBlock]];
    while (piece->end <= cell) ++piece;
    return piece->count;
  }

  std::vector<uint16_t> ids;
  std::vector<Piece> pieces;
  std::vector<uint32_t> first_piece;  // of each block of cells
};

// How often each pair comes, and where its places are noted. Open addressing: a merge asks for as
// many pairs as it has places, nearly all of them far from each other.
class PairTable {
 public:
  struct Entry {
    uint32_t key = kNone;
    uint32_t start = 0, size = 0;  // of its places, among all
    uint32_t coming = 0;           // places that will be noted next
    int64_t count = 0;
  };

  // Entries do not move before the next reserve() or erase().
  void reserve(size_t more) {
    if (4 * (size_ + more) <= 3 * entries_.size()) return;
    size_t slots = std::max<size_t>(entries_.size(), 64);
    while (4 * (size_ + more) > 3 * slots) slots *= 2;
    std::vector<Entry> old(slots);
    old.swap(entries_);
    for (const Entry& entry : old)
      if (entry.key != kNone) entries_[slot_of(entry.key)] = entry;
  }
  size_t size() const { return size_; }
  std::vector<Entry>& entries() { return entries_; }  // empty ones among them
  Entry* find(uint32_t key) {                         // null: there is none
    Entry& entry = entries_[slot_of(key)];
    return entry.key == key ? &entry : nullptr;
  }
  Entry& make(uint32_t key) {  // as it is, where it is there
    Entry& entry = entries_[slot_of(key)];
    if (entry.key != key) entry.key = key, ++size_;
    return entry;
  }
  void erase(uint32_t key) {
    size_t hole = slot_of(key);
    if (entries_[hole].key != key) return;
    // What was put off by this entry moves up.
    const size_t mask = entries_.size() - 1;
    for (size_t i = (hole + 1) & mask; entries_[i].key != kNone; i = (i + 1) & mask)
      if (((i - home_of(entries_[i].key)) & mask) >= ((i - hole) & mask))
        entries_[hole] = entries_[i], hole = i;
    entries_[hole] = {};
    --size_;
  }

 private:
  size_t home_of(uint32_t key) const {
    return (key * uint64_t{0x9E3779B97F4A7C15} >> 32) & (entries_.size() - 1);
  }
  // Where the entry is, or would be.
  size_t slot_of(uint32_t key) const {
    size_t slot = home_of(key);
    while (entries_[slot].key != key && entries_[slot].key != kNone)
      slot = (slot + 1) & (entries_.size() - 1);
    return slot;
  }

  std::vector<Entry> entries_;  // a power of two, at most three quarters of it taken
  size_t size_ = 0;
};

class Trainer {
 public:
  Trainer(std::string_view text, Specials specials)
      : cells_(text, specials), length_(256, 1), before_(256), after_(256) {
    pairs_.reserve(std::min(cells_.ids.size(), size_t{1} << 16));  // no more pairs than places
    for_each_pair([](PairTable::Entry& entry, size_t, int64_t count) {
      entry.count += count;
      ++entry.coming;
    });
    for (PairTable::Entry& entry : pairs_.entries()) make_room(entry);
    for_each_pair([this](PairTable::Entry& entry, size_t at, int64_t) { note(entry, at); });
    offer_all();
  }

  // The most frequent pair that comes at least twice; false: there is none.
  bool best(Pair& pair) {
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const Offer top = heap_.back();
      heap_.pop_back();
      const PairTable::Entry* entry = pairs_.find(top.key);
      if (entry == nullptr) continue;
      // Counts that fall are not followed: an offer is put right when it comes up.
      if (entry->count < top.count) offer(*entry);
      if (entry->count != top.count) continue;
      pair = pair_of(top.key);
      return true;
    }
    return false;
  }

  // Makes `id` of the pair wherever it stands, from the left to the right.
  void merge(Pair pair, uint16_t id) {
    const size_t bytes = size_t{length_[pair.left]} + length_[pair.right];
    if (id >= length_.size()) {
      length_.resize(size_t{id} + 1);
      before_.resize(length_.size());
      after_.resize(length_.size());
    }
    length_[id] = static_cast<uint16_t>(bytes);
    const PairTable::Entry& entry = *pairs_.find(key_of(pair));
    const auto noted = places_.begin() + entry.start;
    std::vector<uint32_t> places(noted, noted + entry.size);
    if (!std::is_sorted(places.begin(), places.end()))  // more than one merge made the pair
      std::sort(places.begin(), places.end());
    cost_.places += places.size();
    pairs_.reserve(2 * std::min(places.size(), length_.size()));
    std::vector<uint16_t>& ids = cells_.ids;
    for (size_t i = 0; i < places.size(); ++i) {
      const size_t place = places[i];
      if (i + 8 < places.size()) __builtin_prefetch(&ids[places[i + 8]]);  // far from one another
      if (!stands_at(pair, place)) continue;  // merged away since it was noted
      const size_t middle = place + length_[pair.left], end = place + bytes;
      const int64_t count = cells_.count(place);
      if (const uint16_t x = ids[place - 1]; x != Cells::kNothing)
        replace(before_[x], {x, pair.left}, {x, id}, place - length_[x], count);
      if (const uint16_t x = ids[end]; x != Cells::kNothing)
        replace(after_[x], {pair.right, x}, {id, x}, place, count);
      ids[middle - 1] = ids[middle] = Cells::kNothing;
      ids[place] = ids[end - 1] = id;
    }
    settle(key_of(pair));
  }

  const BpeCost& cost() const { return cost_; }

 private:
  // What a merge changes beside one neighbour: the pair that was there, and the one that is.
  struct Change {
    PairTable::Entry* lost = nullptr;
    PairTable::Entry* gained = nullptr;
    int64_t count = 0;
    uint32_t places = 0;
  };
  struct Offer {
    int64_t count;
    uint32_t key;
    bool operator<(const Offer& other) const {  // the heap's top is the largest
      return count != other.count ? count < other.count : key > other.key;
    }
  };

  template <class See>
  void for_each_pair(See see) {
    const std::vector<uint16_t>& ids = cells_.ids;
    for (size_t at = 1; at + 1 < ids.size(); ++at)
      if (ids[at] != Cells::kNothing && ids[at + 1] != Cells::kNothing)
        see(pairs_.make(key_of({ids[at], ids[at + 1]})), at, cells_.count(at));
  }

  bool stands_at(Pair pair, size_t place) const {
    return cells_.ids[place] == pair.left && cells_.ids[place + length_[pair.left]] == pair.right;
  }

  void replace(Change& change, Pair lost, Pair gained, size_t place, int64_t count) {
    if (change.lost == nullptr) {
      change.lost = pairs_.find(key_of(lost));
      change.gained = &pairs_.make(key_of(gained));
      changed_.push_back(&change);
    }
    change.count += count;
    ++change.places;
    made_.push_back({&change, static_cast<uint32_t>(place)});
  }

  // After a merge: notes the new places, offers what has gained, forgets what is not there any
  // more.
  void settle(uint32_t merged) {
    for (const Change* change : changed_) {
      change->lost->count -= change->count;
      change->gained->count += change->count;
      change->gained->coming += change->places;
    }
    for (const Change* change : changed_) make_room(*change->gained);
    for (const auto& [change, place] : made_) note(*change->gained, place);
    made_.clear();
    gone_.assign(1, merged);
    for (Change* change : changed_) {
      if (change->lost->count == 0) gone_.push_back(change->lost->key);
      if (change->gained->count == 0) gone_.push_back(change->gained->key);
      offer(*change->gained);
      *change = {};
    }
    changed_.clear();
    for (const uint32_t key : gone_) pairs_.erase(key);
    if (heap_.size() > 2 * pairs_.size() + 1000) offer_all();
    if (places_.size() > 2 * cells_.ids.size()) forget_places();
  }

  // For the places that come, behind all others; those that the pair had come along.
  void make_room(PairTable::Entry& entry) {
    if (entry.coming == 0) return;
    const size_t start = places_.size();
    places_.resize(start + entry.size + std::exchange(entry.coming, 0));
    std::copy_n(places_.begin() + entry.start, entry.size,
                places_.begin() + static_cast<int64_t>(start));
    entry.start = static_cast<uint32_t>(start);
    cost_.places += entry.size;
  }
  void note(PairTable::Entry& entry, size_t place) {
    places_[entry.start + entry.size++] = static_cast<uint32_t>(place);
    ++cost_.places;
  }
  // Keeps the places where a pair still stands: not more than there are cells.
  void forget_places() {
    cost_.places += places_.size();
    std::vector<uint32_t> kept;
    kept.reserve(cells_.ids.size());
    for (PairTable::Entry& entry : pairs_.entries()) {
      const size_t start = kept.size(), end = size_t{entry.start} + entry.size;
      const Pair pair = pair_of(entry.key);
      for (size_t i = entry.start; i < end; ++i) {
        if (i + 16 < end) __builtin_prefetch(&cells_.ids[places_[i + 16]]);
        if (stands_at(pair, places_[i])) kept.push_back(places_[i]);
      }
      entry.start = static_cast<uint32_t>(start);
      entry.size = static_cast<uint32_t>(kept.size() - start);
    }
    places_ = std::move(kept);
  }

  void offer(const PairTable::Entry& entry) {
    if (entry.count < 2) return;
    heap_.push_back({entry.count, entry.key});
    std::push_heap(heap_.begin(), heap_.end());
    ++cost_.offers;
  }
  void offer_all() {
    heap_.clear();
    cost_.offers += pairs_.size();
    for (const PairTable::Entry& entry : pairs_.entries())
      if (entry.count >= 2) heap_.push_back({entry.count, entry.key});
    std::make_heap(heap_.begin(), heap_.end());
  }

  Cells cells_;
  PairTable pairs_;
  std::vector<uint32_t> places_;  // cells where pairs begin, pair by pair, or began
  std::vector<uint16_t> length_;  // bytes of each id
  std::vector<Offer> heap_;       // of every pair that comes twice, with its count or a larger one
  BpeCost cost_;
  // Of one merge:
  std::vector<Change> before_, after_;  // by the neighbour's id
  std::vector<Change*> changed_;
  std::vector<std::pair<Change*, uint32_t>> made_;
  std::vector<uint32_t> gone_;
};

}  // namespace

BpeVocabulary train_bpe(std::string_view text, int64_t size,
                        const std::function<void(int64_t)>& progress, Specials specials,
                        BpeCost* cost) {
  if (size < 257 || size > static_cast<int64_t>(kShardIdLimit))
    misuse(fmt::format("vocab_size = {} is no size for byte pairs", size),
           fmt::format("take 257 (the bytes and the end of a text) to {}", kShardIdLimit));
  BpeVocabulary vocabulary;
  for (int b = 0; b < 256; ++b) vocabulary.tokens.emplace_back(1, static_cast<char>(b));
  vocabulary.specials = {kEndOfText};
  std::unordered_map<std::string, uint16_t> id_of;
  for (uint16_t id = 0; id < 256; ++id) id_of[vocabulary.tokens[id]] = id;
  Trainer trainer(text, specials);
  Pair pair;
  while (static_cast<int64_t>(vocabulary.size()) < size && trainer.best(pair)) {
    // Another pair may make what is a token already ("ab" "c" and "a" "bc").
    std::string token = vocabulary.tokens[pair.left] + vocabulary.tokens[pair.right];
    if (token.size() > kMaxTokenBytes) continue;  // a text of one letter doubles without end
    const auto [at, is_new] = id_of.emplace(token, static_cast<uint16_t>(vocabulary.tokens.size()));
    if (is_new) vocabulary.tokens.push_back(std::move(token));
    trainer.merge(pair, at->second);
    if (progress) progress(static_cast<int64_t>(vocabulary.size()));
  }
  if (cost != nullptr) *cost = trainer.cost();
  return vocabulary;
}

}  // namespace fathom
