#include "fathom/data/pickle.h"

#include <fmt/format.h>

#include <cstring>
#include <unordered_map>

#include "fathom/base/error.h"
#include "fathom/config/path_text.h"

namespace fathom {
namespace {

using Text = PickleText;
using Item = PickleItem;
using Pairs = PicklePairs;

// Instructions by the letters of Python's pickletools.
enum Instruction : uint8_t {
  kProtocol = 0x80,
  kFrame = 0x95,
  kEmptyDictionary = '}',
  kMark = '(',
  kOneByte = 'K',
  kTwoBytes = 'M',
  kFourBytes = 'J',
  kLongInteger = 0x8a,
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
  // Of what is skipped.
  kNone = 'N',
  kTrue = 0x88,
  kFalse = 0x89,
  kFloat = 'G',
  kShortBytes = 'C',
  kBytes = 'B',
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
};

// Instructions that protocol 0 alone writes, whose arguments are lines of text.
constexpr std::string_view kOfProtocol0 = "dlpgVSIFL";

class PickleMachine {
 public:
  PickleMachine(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  Pickle run() {
    if (bytes_.empty()) tell("is empty");
    for (;;) {
      const size_t at = at_;
      const auto instruction = number<uint8_t>();
      if (instruction == kStop) break;
      follow(instruction, at);
    }
    if (at_ != bytes_.size()) refuse("its end");
    if (stack_.size() != 1 || !std::holds_alternative<DictionaryAt>(stack_[0]))
      refuse("one dictionary");
    const size_t root = std::get<DictionaryAt>(stack_[0]).place;
    return {std::move(dictionaries_), root};
  }

  // `expected`: at the present byte.
  [[noreturn]] void refuse(const std::string& expected) const {
    tell(fmt::format("is no meta.pkl of nanoGPT's: at byte {} {} was expected", at_, expected));
  }
  [[noreturn]] void tell(const std::string& what) const { refuse_pickle(name_, what); }

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
        const size_t items = above_mark();
        set_items(stack_.size() - items);
        return;
      }
      case kLongInteger:
        stack_.push_back(long_integer(number<uint8_t>()));
        return;
      default:
        if (!skip(instruction)) remember(instruction);
    }
  }

  // Follows an instruction of values that nobody reads; false: it is none.
  bool skip(uint8_t instruction) {
    switch (instruction) {
      case kNone:
      case kTrue:
      case kFalse:
      case kEmptyList:
      case kEmptySet:
      case kEmptyTuple:
        return other(0);
      case kFloat:
        number<uint64_t>();
        return other(0);
      case kShortBytes:
        pass_over(number<uint8_t>());
        return other(0);
      case kBytes:
        pass_over(number<uint32_t>());
        return other(0);
      case kAppend:
        return into_other(1);
      case kAppends:
      case kAddItems:
        return into_other(above_mark());
      case kFrozenSet:
      case kTuple:
        return other(above_mark());
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return other(static_cast<size_t>(instruction - kTuple1) + 1);
      default:
        return false;
    }
  }

  // One of the values on top, which go. True, for skip().
  bool other(size_t values) {
    drop(values);
    stack_.emplace_back();
    return true;
  }
  // They go into the one below.
  bool into_other(size_t values) {
    drop(values);
    if (stack_.empty() || !std::holds_alternative<PickledOther>(stack_.back()) || is_below_mark())
      refuse("a list");
    return true;
  }
  void drop(size_t values) {
    if (stack_.size() < values || (!marks_.empty() && stack_.size() - values < marks_.back()))
      refuse("more values before it");
    stack_.resize(stack_.size() - values);
  }
  size_t above_mark() {
    if (marks_.empty() || marks_.back() > stack_.size()) refuse("a mark before its items");
    const size_t mark = marks_.back();
    marks_.pop_back();
    return stack_.size() - mark;
  }
  bool is_below_mark() const { return !marks_.empty() && stack_.size() <= marks_.back(); }

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
        if (kOfProtocol0.find(static_cast<char>(instruction)) != std::string_view::npos)
          tell("is of pickle's protocol 0, and 2 to 5 are read");
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
    std::string out(bytes_.substr(at_, length));
    pass_over(length);
    if (!is_utf8(out)) refuse("a text of UTF-8 before it");
    return std::make_shared<const std::string>(std::move(out));
  }
  // Of two's complement; one of more than 64 bits is nothing that is read.
  Item long_integer(size_t length) {
    const size_t begin = at_;
    pass_over(length);
    if (length > sizeof(int64_t)) return PickledOther();
    const bool negative = length > 0 && (static_cast<uint8_t>(bytes_[at_ - 1]) & 0x80) != 0;
    uint64_t value = negative ? ~uint64_t{0} : 0;
    for (size_t i = length; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes_[begin + i]);
    return static_cast<int64_t>(value);
  }
  void pass_over(size_t length) {
    if (bytes_.size() - at_ < length) refuse("more of it");
    at_ += length;
  }

  std::string_view bytes_;
  const std::string& name_;
  size_t at_ = 0;
  std::vector<Item> stack_;
  std::vector<size_t> marks_;
  std::vector<Pairs> dictionaries_;
  std::unordered_map<uint64_t, Item> memo_;
};

}  // namespace

Pickle read_pickle(std::string_view bytes, const std::string& name) {
  return PickleMachine(bytes, name).run();
}

void refuse_pickle(const std::string& name, const std::string& what) {
  fail(fmt::format("{} {}", name, what),
       "such a file is a dictionary with vocab_size, and for characters itos and stoi, written by "
       "Python's pickle; without it the shards beside it are ids alone");
}

}  // namespace fathom
