// The merges of a vocabulary, against the plain definition and on texts that have no spaces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <functional>
#include <map>
#include <random>

#include "data/data_testing.h"
#include "fathom/base/utf8.h"
#include "fathom/data/bpe.h"

namespace fathom::testing {
namespace {

using Pieces = std::vector<std::string>;

// Counts everything anew after each merge.
Pieces plainly_trained(const std::string& text, size_t tokens) {
  Pieces made;
  std::map<std::string, uint32_t> id_of;
  for (int b = 0; b < 256; ++b) {
    made.emplace_back(1, char(b));
    id_of[made.back()] = uint32_t(b);
  }
  std::vector<std::vector<uint32_t>> words;
  for_each_piece(text, [&](std::string_view piece) {
    words.emplace_back();
    for (const char c : piece) words.back().push_back(static_cast<unsigned char>(c));
  });
  while (made.size() < tokens) {
    std::map<std::pair<uint32_t, uint32_t>, int64_t> counts;
    for (const auto& word : words)
      for (size_t i = 0; i + 1 < word.size(); ++i)
        if (made[word[i]].size() + made[word[i + 1]].size() <= kMaxTokenBytes)
          ++counts[{word[i], word[i + 1]}];
    auto best = counts.begin();
    for (auto it = counts.begin(); it != counts.end(); ++it)
      if (it->second > best->second) best = it;
    if (best == counts.end() || best->second < 2) break;
    const auto [left, right] = best->first;
    const std::string token = made[left] + made[right];
    const auto [at, is_new] = id_of.emplace(token, uint32_t(made.size()));
    if (is_new) made.push_back(token);
    for (auto& word : words)
      for (size_t i = 0; i + 1 < word.size(); ++i)
        if (word[i] == left && word[i + 1] == right) {
          word[i] = at->second;
          word.erase(word.begin() + int64_t(i) + 1);
        }
  }
  return made;
}

std::string letters(uint32_t seed, size_t length, const std::string& alphabet) {
  std::mt19937 generator(seed);
  std::string text;
  while (text.size() < length) text += alphabet[generator() % alphabet.size()];
  return text;
}

// One letter again and again, then another.
std::string runs(uint32_t seed, size_t length) {
  std::mt19937 generator(seed);
  std::string text;
  while (text.size() < length) text.append(1 + generator() % 30, "aab "[generator() % 4]);
  return text;
}

std::string chinese(uint32_t seed, size_t length) {
  std::mt19937 generator(seed);
  std::string text;
  while (text.size() < length)
    utf8_append(text, 0x4E00 + (generator() % 64) * (generator() % 64) / 16);
  return text;
}

std::string words(uint32_t seed, size_t length) {
  static const Pieces kWords = {"the ", "rain ", "in",   "and ", "there",
                                " ",    "hand",  "ing ", ", ",   "\n"};
  std::mt19937 generator(seed);
  std::string text;
  while (text.size() < length) text += kWords[generator() % kWords.size()];
  return text;
}

TEST(BpeTraining, TakesTheMostFrequentPairs) {
  // "aa" comes 5 times in a piece of its own, then "aab" 3 times.
  const BpeVocabulary v = train_bpe("aaab aaab aaab aac aac", 260);
  EXPECT_EQ(v.tokens[256], "aa");
  EXPECT_EQ(v.tokens.size() + v.specials.size(), 260U);
  EXPECT_EQ(v.tokens[257], " aa") << "4 times; of equal ones the lower ids";
  EXPECT_EQ(v.specials, Pieces{"<|endoftext|>"});
}

TEST(BpeTraining, OfTheEndOfATextNoPairIsMade) {
  const std::string text = "ab<|endoftext|>ab<|endoftext|>ab";
  const BpeVocabulary v = train_bpe(text, 1000, {}, Specials::kTokens);
  EXPECT_EQ(Pieces(v.tokens.begin() + 256, v.tokens.end()), Pieces{"ab"});
  EXPECT_GT(train_bpe(text, 1000).tokens.size(), 257U) << "as text it is";
}

TEST(BpeTraining, EndsWhereNoPairComesTwice) {
  const BpeVocabulary v = train_bpe("ab cd", 1000);
  EXPECT_EQ(v.tokens.size(), 256U);
  EXPECT_EQ(train_bpe("", 300).tokens.size(), 256U);
}

TEST(BpeTraining, IsTheSameEveryTimeAndHoldsTogether) {
  const std::string text = letters(3, 20'000, "abeth ");
  const BpeVocabulary a = train_bpe(text, 500), b = train_bpe(text, 500);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.size(), 500U);
  EXPECT_NO_THROW(validate(a));
}

RC_GTEST_PROP(BpeTraining, IsThePlainOne, ()) {
  const auto seed = *rc::gen::arbitrary<uint32_t>();
  const auto length = *rc::gen::inRange<size_t>(0, 700);
  for (const std::string& text :
       {letters(seed, length, "ab"), letters(seed, length, "ACGT"), runs(seed, length),
        chinese(seed, length), words(seed, length), std::string(length, 'a')})
    RC_ASSERT(train_bpe(text, 341).tokens == plainly_trained(text, 340));
}

// Long enough that places are forgotten and offers are made anew.
TEST(BpeTraining, IsThePlainOneForALongerText) {
  for (const std::string& text : {letters(1, 10'000, "ACGT"), runs(2, 10'000), chinese(3, 10'000)})
    EXPECT_EQ(train_bpe(text, 601).tokens, plainly_trained(text, 600));
}

// A pair's cost is that of its places: hours and gigabytes, were it that of its words.
TEST(BpeTraining, OfATextWithoutSpacesIsNoTrap) {
  const BpeVocabulary dna = train_bpe(letters(1, 500'000, "ACGT"), 1000);
  EXPECT_EQ(dna.size(), 1000U);
  EXPECT_NO_THROW(validate(dna));
  EXPECT_EQ(train_bpe(std::string(4 << 20, 'a'), 300).tokens.back().size(), kMaxTokenBytes);
}

// Counted and not timed: twice the text is twice the work, whatever script it is in.
TEST(BpeTraining, CostsWhatItsPlacesCost) {
  const auto cost_of = [](const std::string& text) {
    BpeCost cost;
    EXPECT_EQ(train_bpe(text, 800, {}, Specials::kText, &cost).size(), 800U);
    return cost;
  };
  const auto dna = [](size_t length) { return letters(1, length, "ACGT"); };
  const auto han = [](size_t length) { return chinese(1, length); };
  for (const auto& text_of : {std::function<std::string(size_t)>(dna), {han}}) {
    const BpeCost once = cost_of(text_of(100'000)), twice = cost_of(text_of(200'000));
    EXPECT_LT(twice.places, 2.3 * once.places) << once.places;
    EXPECT_LT(twice.offers, 2.3 * once.offers) << once.offers;
    EXPECT_LT(once.places, 20 * 100'000U) << "of 544 merges";
    EXPECT_LT(once.offers, 2 * 100'000U);
    EXPECT_GT(once.places, 100'000U) << "it is counted";
  }
  // Words that come again stand there once.
  EXPECT_LT(cost_of(han(50'000) + "\n" + han(50'000)).places, 1.1 * cost_of(han(50'000)).places);
}

}  // namespace
}  // namespace fathom::testing
