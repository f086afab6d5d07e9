#include "fathom/data/meta_pickle.h"

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <variant>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"

namespace fathom {
namespace {

constexpr int64_t kMostIds = 1 << 24;
constexpr size_t kMostBytes = 64;  // of a character, which has four

// A dictionary is named by its place in Machine::dictionaries, for a pickle may have it twice.
struct DictionaryAt {
  size_t place = 0;
};
// Shared, for a pickle may remember one and name it a million times.
using Text = std::shared_ptr<const std::string>;
using Item = std::variant<int64_t, Text, DictionaryAt>;
using Pairs = std::vector<std::pair<Item, Item>>;

// Instructions by the letters of Python's pickletools.
enum Instruction : uint8_t {
  kProtocol = 0x80,
  kFrame = 0x95,
  kEmptyDictionary = '}',
  kMark = '(',
  kOneByte = 'K',
  kTwoBytes = 'M',
  kFourBytes = 'J',
  kShortText = 0x8c,
  kText = 'X',
  kSetItem = 's',
  kSetItems = 'u',
  kMemoize = 0x94,
  kPut = 'q',
  kLongPut = 'r',
  kGet = 'h',
  kLongGet = 'j',
  kStop = '.',
};

class Machine {
 public:
  Machine(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  // The dictionary that is left.
  size_t run() {
    for (;;) {
      const size_t at = at_;
      const auto instruction = number<uint8_t>();
      if (instruction == kStop) break;
      follow(instruction, at);
    }
    if (at_ != bytes_.size()) refuse("its end");
    if (stack_.size() != 1 || !std::holds_alternative<DictionaryAt>(stack_[0]))
      refuse("one dictionary");
    return std::get<DictionaryAt>(stack_[0]).place;
  }
  const Pairs& dictionary(size_t place) const { return dictionaries_[place]; }

  [[noreturn]] void refuse(const std::string& expected) const {
    fail(fmt::format("{} is no meta.pkl of nanoGPT's: at byte {} {} was expected", name_, at_,
                     expected),
         "such a file is a dictionary with vocab_size, and for characters itos and stoi");
  }

 private:
  void follow(uint8_t instruction, size_t at) {
    switch (instruction) {
      case kProtocol:
        if (at != 0 || number<uint8_t>() > 5) refuse("a protocol up to 5, at the beginning");
        return;
      case kFrame:
        number<uint64_t>();
        return;
      case kEmptyDictionary:
        stack_.emplace_back(DictionaryAt{dictionaries_.size()});
        dictionaries_.emplace_back();
        return;
      case kMark:
        marks_.push_back(stack_.size());
        return;
      case kOneByte:
        stack_.emplace_back(int64_t{number<uint8_t>()});
        return;
      case kTwoBytes:
        stack_.emplace_back(int64_t{number<uint16_t>()});
        return;
      case kFourBytes:
        stack_.emplace_back(int64_t{number<int32_t>()});
        return;
      case kShortText:
        stack_.emplace_back(text(number<uint8_t>()));
        return;
      case kText:
        stack_.emplace_back(text(number<uint32_t>()));
        return;
      case kSetItem:
        set_items(stack_.size() < 3 ? 0 : stack_.size() - 2);
        return;
      case kSetItems: {
        if (marks_.empty()) refuse("a mark before its items");
        const size_t mark = marks_.back();
        marks_.pop_back();
        set_items(mark);
        return;
      }
      default:
        remember(instruction);
    }
  }

  void remember(uint8_t instruction) {
    switch (instruction) {
      case kMemoize:
        memo_[memo_.size()] = top();
        return;
      case kPut:
        memo_[number<uint8_t>()] = top();
        return;
      case kLongPut:
        memo_[number<uint32_t>()] = top();
        return;
      case kGet:
        stack_.push_back(remembered(number<uint8_t>()));
        return;
      case kLongGet:
        stack_.push_back(remembered(number<uint32_t>()));
        return;
      default:
        --at_;
        refuse(fmt::format("an instruction of texts and numbers, not {:#04x},", instruction));
    }
  }

  // Those from `first` on belong to the dictionary below.
  void set_items(size_t first) {
    if (first == 0 || first > stack_.size() || (stack_.size() - first) % 2 != 0 ||
        !std::holds_alternative<DictionaryAt>(stack_[first - 1]) ||
        (!marks_.empty() && marks_.back() > first - 1))
      refuse("a dictionary and pairs of a key and its value");
    Pairs& pairs = dictionaries_[std::get<DictionaryAt>(stack_[first - 1]).place];
    for (size_t i = first; i < stack_.size(); i += 2)
      pairs.emplace_back(std::move(stack_[i]), std::move(stack_[i + 1]));
    stack_.resize(first);
  }

  const Item& top() const {
    if (stack_.empty()) refuse("something to remember");
    return stack_.back();
  }
  const Item& remembered(uint64_t number) const {
    const auto found = memo_.find(number);
    if (found == memo_.end()) refuse("what was remembered");
    return found->second;
  }

  // Little-endian.
  template <class T>
  T number() {
    if (bytes_.size() - at_ < sizeof(T)) refuse("more of it");
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  Text text(size_t length) {
    if (bytes_.size() - at_ < length) refuse("more of a text");
    std::string out(bytes_.substr(at_, length));
    if (!is_utf8(out)) refuse("a text of UTF-8");
    at_ += length;
    return std::make_shared<const std::string>(std::move(out));
  }

  std::string_view bytes_;
  const std::string& name_;
  size_t at_ = 0;
  std::vector<Item> stack_;
  std::vector<size_t> marks_;
  std::vector<Pairs> dictionaries_;
  std::unordered_map<uint64_t, Item> memo_;
};

class MetaReader {
 public:
  MetaReader(std::string_view bytes, const std::string& name) : machine_(bytes, name) {
    for (const auto& [key, value] : machine_.dictionary(machine_.run())) {
      const auto* text = std::get_if<Text>(&key);
      if (text == nullptr) machine_.refuse("keys that are texts");
      values_[**text] = &value;
    }
  }

  MetaPickle read() const {
    MetaPickle meta;
    const auto* size = find<int64_t>("vocab_size");
    if (const auto* itos = find<DictionaryAt>("itos")) meta.itos = characters(itos->place);
    meta.vocab_size = size != nullptr ? *size : static_cast<int64_t>(meta.itos.size());
    if (meta.vocab_size < 1 || meta.vocab_size > kMostIds)
      machine_.refuse(fmt::format("a vocab_size from 1 to {}", kMostIds));
    if (!meta.itos.empty() && meta.vocab_size != static_cast<int64_t>(meta.itos.size()))
      machine_.refuse(fmt::format("as many characters as vocab_size = {} says", meta.vocab_size));
    if (const auto* stoi = find<DictionaryAt>("stoi")) check(stoi->place, meta.itos);
    return meta;
  }

 private:
  // Null: it is not there. Of another type it is refused.
  template <class T>
  const T* find(const std::string& key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) return nullptr;
    const T* value = std::get_if<T>(found->second);
    if (value == nullptr) machine_.refuse(fmt::format("{} of another type", key));
    return value;
  }

  std::vector<std::string> characters(size_t place) const {
    const Pairs& pairs = machine_.dictionary(place);
    std::vector<std::string> out(pairs.size());
    for (const auto& [key, value] : pairs) {
      const auto* id = std::get_if<int64_t>(&key);
      const auto* text = std::get_if<Text>(&value);
      const bool is_next = id != nullptr && text != nullptr && *id >= 0 &&
                           *id < static_cast<int64_t>(out.size()) && !(*text)->empty() &&
                           (*text)->size() <= kMostBytes && out[static_cast<size_t>(*id)].empty();
      if (!is_next) machine_.refuse("an itos from each id, 0 and so on, to a character");
      out[static_cast<size_t>(*id)] = **text;
    }
    return out;
  }

  void check(size_t place, const std::vector<std::string>& itos) const {
    const Pairs& pairs = machine_.dictionary(place);
    bool agrees = pairs.size() == itos.size();
    for (const auto& [key, value] : pairs) {
      const auto* text = std::get_if<Text>(&key);
      const auto* id = std::get_if<int64_t>(&value);
      agrees = agrees && text != nullptr && id != nullptr && *id >= 0 &&
               *id < static_cast<int64_t>(itos.size()) && itos[static_cast<size_t>(*id)] == **text;
    }
    if (!agrees) machine_.refuse("a stoi that says what itos says");
  }

  Machine machine_;
  std::map<std::string, const Item*> values_;
};

}  // namespace

MetaPickle read_meta_pickle(std::string_view bytes, const std::string& name) {
  return MetaReader(bytes, name).read();
}

std::unique_ptr<Tokenizer> tokenizer_of(const MetaPickle& meta, const std::string& name) {
  if (meta.itos.empty()) return nullptr;
  const std::string all = join(meta.itos, "");
  auto tokenizer = make_char_tokenizer(all);
  bool is_same = tokenizer->vocab_size() == meta.vocab_size;
  for (size_t i = 0; is_same && i < meta.itos.size(); ++i) {
    const auto id = static_cast<uint32_t>(i);
    is_same = tokenizer->decode({&id, 1}) == meta.itos[i];
  }
  if (!is_same)
    fail(fmt::format("{} has a vocabulary that is not single characters in the order of their "
                     "code points",
                     name),
         "prepare the text itself with `fathom prepare`, or move the file away: its shards are "
         "then ids without text");
  return tokenizer;
}

}  // namespace fathom
