// Generated examples: what a split has, how often, and in which form.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <thread>

#include "data/data_testing.h"
#include "fathom/data/numbers/example.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::HasSubstr;

// In symbols, without results: the text is the expression.
NumbersConfig plain() {
  NumbersConfig config;
  config.english_rate = 0;
  config.result_digits = 0;
  return config;
}

std::vector<std::string> texts_of(const NumbersConfig& config, const std::string& split, int n) {
  const NumberExamples examples(config);
  std::vector<std::string> texts;
  for (int i = 0; i < n; ++i) texts.push_back(examples.at(split, static_cast<uint64_t>(i), 0).text);
  return texts;
}

// Pearson's statistic of counts that should be equal.
double chi_square(const std::map<int, double>& counts) {
  double all = 0, sum = 0;
  for (const auto& [what, count] : counts) all += count;
  const double expected = all / static_cast<double>(counts.size());
  for (const auto& [what, count] : counts)
    sum += (count - expected) * (count - expected) / expected;
  return sum;
}

TEST(NumberExamplesTest, AreWhatTheyAreInEveryProcess) {
  // Another generator is another fingerprint (numbers_config.cpp) and these lines.
  const std::vector<std::string> golden = {"4.30 / -0.99521", "9.6129 - 6.96 * -5.0620",
                                           "6.67 - -8.352"};
  EXPECT_EQ(texts_of(plain(), "train", 3), golden);
  EXPECT_EQ(texts_of(plain(), "val", 1).front(), "-0.95 / 1.06");
}

TEST(NumberExamplesTest, DependOnTheirPlaceAlone) {
  NumbersConfig config;
  config.algebraic_noise = 0.5;
  const std::vector<std::string> all = texts_of(config, "train", 200);
  const NumberExamples examples(config);
  std::vector<std::string> backwards(all.size()), threaded(all.size());
  for (size_t i = all.size(); i-- > 0;) backwards[i] = examples.at("train", i, 0).text;
  EXPECT_EQ(backwards, all);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      for (size_t i = t; i < all.size(); i += 3) threaded[i] = examples.at("train", i, 0).text;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(threaded, all);
  const std::set<std::string> different(all.begin(), all.end());
  EXPECT_EQ(different.size(), all.size());
  EXPECT_NE(examples.at("train", 0, 1).text, all[0]);
  NumbersConfig other = config;
  other.train_seed = 7;
  EXPECT_NE(texts_of(other, "train", 3), texts_of(config, "train", 3));
  EXPECT_EQ(texts_of(other, "val", 3), texts_of(config, "val", 3));
}

// The expression with numbers as short as they can be written.
std::string shortest(const std::string& text) {
  std::vector<ExpressionToken> tokens = expression_tokens(text);
  for (ExpressionToken& token : tokens) {
    std::string number = to_text(token.number);
    if (number.find('.') != std::string::npos) {
      number.erase(number.find_last_not_of('0') + 1);
      if (number.back() == '.') number.pop_back();
    }
    token.number = parse_decimal(number);
  }
  return to_text(tokens);
}

// Of numbers without decimals there are 1,600 expressions or so, and each comes many times; of one
// decimal many differ from others by a zero behind the point alone.
TEST(NumberExamplesTest, NoTwoSplitsHaveAnExpressionInCommon) {
  NumbersConfig few = plain();
  few.depth = 1;
  few.value_range = {1, 20};
  few.max_decimals = 0;
  NumbersConfig zeros = few;
  zeros.value_range = {-5, 5};
  zeros.max_decimals = 1;
  NumbersConfig many = plain();
  many.algebraic_noise = 0.3;
  for (const auto& [config, train, rest] :
       {std::tuple(few, 20000, 4000), std::tuple(zeros, 80000, 10000),
        std::tuple(many, 80000, 10000)}) {
    std::map<std::string, std::string> owner;
    std::set<std::string> texts;
    for (const auto& [split, n] :
         {std::pair("train", train), std::pair("val", rest), std::pair("test", rest)})
      for (const std::string& text : texts_of(config, split, n)) {
        const std::string& first = owner.emplace(shortest(text), split).first->second;
        ASSERT_EQ(first, split) << text;
        texts.insert(text);
      }
    if (config.max_decimals == 1) {
      EXPECT_GT(texts.size(), owner.size() + 1000) << "some differ by zeros alone";
    }
  }
}

TEST(NumberExamplesTest, HaveDecimalsAndOperationsAlikeOften) {
  NumbersConfig config = plain();
  config.identity = IdentityPlace::kAnywhere;
  const NumberExamples examples(config);
  std::map<int, double> decimals, operations;
  for (uint64_t i = 0; i < 20000; ++i) {
    const NumberProgram program = examples.at("train", i, 0).program;
    for (const Decimal& value : program.values) ++decimals[value.decimals];
    for (const Operation operation : program.operations) ++operations[static_cast<int>(operation)];
  }
  ASSERT_EQ(decimals.size(), 6U);
  ASSERT_EQ(operations.size(), 5U);
  EXPECT_LT(chi_square(decimals), 20.5) << "0.1 % of five degrees of freedom";
  EXPECT_LT(chi_square(operations), 18.5) << "of four";
}

TEST(NumberExamplesTest, RealOperationsAreAlikeOftenAndIdentitiesOnlyPad) {
  NumbersConfig config = plain();
  config.min_operations = 2;
  const NumberExamples examples(config);
  std::map<int, double> real, operations;
  for (uint64_t i = 0; i < 6000; ++i) {
    const NumberExample example = examples.at("train", i, 0);
    const NumberProgram& program = example.program;
    ASSERT_EQ(program.depth(), 4U);
    const int64_t n = real_operations(program);
    ++real[static_cast<int>(n)];
    for (size_t k = 0; k < 4; ++k) {
      const bool pads = k < 4 - static_cast<size_t>(n);
      ASSERT_EQ(program.operations[k] == Operation::kIdentity, pads) << example.text;
      if (!pads) ++operations[static_cast<int>(program.operations[k])];
    }
    for (size_t s = 0; s < 5; ++s) {
      ASSERT_EQ(example.used[s], s <= static_cast<size_t>(n));
      ASSERT_EQ(program.values[s] == Decimal{}, !example.used[s]);
    }
  }
  ASSERT_EQ(real.size(), 3U);
  EXPECT_LT(chi_square(real), 13.8);
  EXPECT_LT(chi_square(operations), 16.3);
}

TEST(NumberExamplesTest, TextsHaveTheUsedOperandsInTheirOrder) {
  for (const IdentityPlace place :
       {IdentityPlace::kPad, IdentityPlace::kAnywhere, IdentityPlace::kNone}) {
    NumbersConfig config;
    config.identity = place;
    config.english_rate = 0.5;
    config.algebraic_noise = 0.3;
    const NumberExamples examples(config);
    for (uint64_t i = 0; i < 700; ++i) {
      const NumberExample example = examples.at("val", i, 0);
      const std::string expression = example.text.substr(0, example.result_begin - 3);
      const std::vector<ExpressionToken> tokens = from_english(expression);
      std::vector<Decimal> written, used;
      for (const ExpressionToken& token : tokens)
        if (token.kind == ExpressionToken::kNumber) written.push_back(token.number);
      for (size_t s = 0; s < example.used.size(); ++s)
        if (example.used[s]) used.push_back(example.program.values[s]);
      ASSERT_EQ(written, used) << example.text;
      const double value = value_of_expression(tokens);
      ASSERT_NEAR(value, example.value, 1e-9 * std::fabs(value)) << example.text;
      ASSERT_EQ(example.value, value_of(example.program));
      if (place == IdentityPlace::kNone) {
        ASSERT_EQ(real_operations(example.program), 4);
      }
      const std::string rest = example.text.substr(example.last_operand_end);
      ASSERT_EQ(rest.substr(0, rest.find_first_not_of(" )")).find_first_not_of(" )"), rest.npos);
      ASSERT_EQ(example.text.substr(example.result_begin), result_text(example.value, 4));
    }
  }
}

TEST(NumberExamplesTest, AreWordedAsOftenAsAsked) {
  NumbersConfig config;
  config.english_rate = 1;
  const std::string letters = "abcdefghijklmnopqrstuvwxyz";
  const NumberExamples examples(config);
  for (uint64_t i = 0; i < 50; ++i) {
    const NumberExample example = examples.at("train", i, 0);
    EXPECT_EQ(example.wording, Wording::kWords);
    EXPECT_EQ(example.text.substr(0, example.result_begin).find_first_of("0123456789+*/"),
              std::string::npos);
  }
  config.english_rate = 0;
  for (const std::string& text : texts_of(config, "train", 50))
    EXPECT_EQ(text.find_first_of(letters), std::string::npos) << text;
}

TEST(NumberExamplesTest, ValuesAreOfTheirRange) {
  NumbersConfig config = plain();
  const auto each = [&](const auto& look) {
    const NumberExamples examples(config);
    for (uint64_t i = 0; i < 2000; ++i) {
      const NumberExample example = examples.at("train", i, 0);
      for (size_t s = 0; s < example.used.size(); ++s)
        if (example.used[s]) look(example.program.values[s]);
    }
  };
  std::set<int> signs;
  each([&](const Decimal& v) {
    ASSERT_LE(std::fabs(v.value()), 10);
    ASSERT_NE(v.units, 0);
    signs.insert(v.units < 0);
  });
  EXPECT_EQ(signs.size(), 2U);
  config.max_digits = 3;
  double largest = 0;
  each([&](const Decimal& v) { largest = std::max(largest, std::fabs(v.value())); });
  EXPECT_LT(largest, 1000);
  EXPECT_GT(largest, 900);
  config.value_range = {0, 1};
  each([&](const Decimal& v) { ASSERT_GT(v.units, 0) << "the range's signs stay"; });
  config.value_range = {-1, 0};
  each([&](const Decimal& v) { ASSERT_LT(v.units, 0) << "also of what was a 0"; });
}

// What rounding makes 0, or moves outside, is not written.
TEST(NumberExamplesTest, NoValueLeavesANarrowRange) {
  const auto values = [](double low, double high, int64_t decimals) {
    NumbersConfig config = plain();
    config.value_range = {low, high};
    config.max_decimals = decimals;
    const NumberExamples examples(config);
    std::set<double> seen;
    for (uint64_t i = 0; i < 500; ++i) {
      const NumberExample example = examples.at("train", i, 0);
      for (size_t s = 0; s < example.used.size(); ++s)
        if (example.used[s]) seen.insert(example.program.values[s].value());
    }
    EXPECT_EQ(seen.count(0), 0U);
    EXPECT_GE(*seen.begin(), low);
    EXPECT_LE(*seen.rbegin(), high);
    return seen;
  };
  using Values = std::set<double>;
  EXPECT_EQ(values(-0.4, -0.1, 1), (Values{-0.4, -0.3, -0.2, -0.1}));
  EXPECT_EQ(values(3.4, 3.6, 1), (Values{3.4, 3.5, 3.6})) << "3 and 4 are outside";
  EXPECT_EQ(values(-2, 0, 0), (Values{-2, -1})) << "a 0 becomes -1";
  EXPECT_EQ(values(-0.004, 0.01, 2), (Values{0.01}));
  values(-0.4, -0.1, 5);
  values(0, 0.5, 5);
}

TEST(NumberExamplesTest, LabelsHaveRoomForDeeperPrograms) {
  NumbersConfig config;
  const NumberExample narrow = number_example(config, "train", 3, 0);
  config.label_depth = 6;
  const NumberExample wide = number_example(config, "train", 3, 0);
  EXPECT_EQ(wide.text, narrow.text);
  EXPECT_EQ(wide.program.depth(), 6U);
  EXPECT_EQ(wide.program.values.size(), 7U);
  EXPECT_EQ(value_of(wide.program), narrow.value);
  EXPECT_FALSE(wide.used[6]);
}

TEST(NumberExamplesTest, ResultsAreShort) {
  for (const auto& [value, digits, text] : {std::tuple(3.14159, 4, "3.142"),
                                            {-0.00021234, 4, "-0.0002123"},
                                            {1.2e6, 4, "1200000"},
                                            {9.99996, 4, "10"},
                                            {0.0, 4, "0"},
                                            {-0.0, 4, "0"},
                                            {0.5, 1, "0.5"},
                                            {123456.0, 2, "120000"},
                                            {2.5e-9, 3, "2.5e-9"},
                                            {1.5e15, 3, "1.5e15"},
                                            {-2e20, 1, "-2e20"},
                                            {12.0, 15, "12"}})
    EXPECT_EQ(result_text(value, digits), text);
}

TEST(NumberExamplesTest, SettingsWithoutAMeaningAreRefused) {
  const auto refusal = [](const auto& change) {
    NumbersConfig config;
    change(config);
    const Error error = caught([&] { check(config); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_FALSE(error.hint().empty()) << error.what();
    return std::string(error.what());
  };
  using Config = NumbersConfig;
  EXPECT_EQ(refusal([](Config& c) { c.val_seed = 42; }),
            "train_seed = 42 and val_seed = 42 are the same");
  EXPECT_THAT(refusal([](Config& c) {
                c.value_range = {3, 3};
              }),
              HasSubstr("value_range = [3, 3]"));
  EXPECT_THAT(refusal([](Config& c) { c.value_range = {1}; }), HasSubstr("value_range = [1]"));
  EXPECT_THAT(refusal([](Config& c) {
                c.value_range = {0, 1e12};
              }),
              HasSubstr("with max_decimal_places = 5"));
  EXPECT_THAT(refusal([](Config& c) { c.max_digits = 11; }), HasSubstr("max_digits = 11 with"));
  EXPECT_THAT(refusal([](Config& c) { c.operations = "identity"; }),
              HasSubstr("number_operations"));
  EXPECT_THAT(refusal([](Config& c) { c.operations = "add, power"; }),
              HasSubstr("has power, which no text writes down"));
  const Error unknown = caught([] {
    Config c;
    c.operations = "add, mod";
    check(c);
  });
  EXPECT_EQ(unknown.what(), std::string("\"mod\" is no operation"));
  EXPECT_EQ(unknown.hint(), "allowed: add, subtract, multiply, divide, identity");
  const auto without_a_value = [&](double low, double high, int64_t decimals) {
    return refusal([=](Config& c) {
      c.value_range = {low, high};
      c.max_decimals = decimals;
    });
  };
  EXPECT_THAT(without_a_value(-0.004, 0.004, 2),
              HasSubstr("max_decimal_places = 2 digits behind its point lies in value_range = "
                        "[-0.004, 0.004]"));
  EXPECT_THAT(without_a_value(1.1, 1.9, 0), HasSubstr("value_range = [1.1, 1.9]"));
  EXPECT_THAT(refusal([](Config& c) {
                c.identity = IdentityPlace::kAnywhere;
                c.operations = "add, subtract";
              }),
              HasSubstr("number_identity = anywhere draws identities like the others, and "
                        "number_operations = \"add, subtract\" has none"));
  EXPECT_EQ(refusal([](Config& c) { c.max_operations = 5; }),
            "max_operations = 5 is above numbers_depth = 4");
  EXPECT_EQ(refusal([](Config& c) { c.min_operations = 5; }),
            "min_operations = 5 is above numbers_depth = 4");
}

TEST(NumberExamplesTest, ASplitMayHaveNone) {
  NumbersConfig one = plain();
  one.depth = 1;
  one.value_range = {3, 3.2};
  one.max_decimals = 0;
  one.operations = "add";
  const NumberExamples examples(one);
  int without = 0;
  for (const std::string& split : numbers_splits()) try {
      EXPECT_EQ(examples.at(split, 0, 0).text, "3 + 3");
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("of the split " + split));
      EXPECT_THAT(e.hint(), HasSubstr("value_range"));
      ++without;
    }
  EXPECT_EQ(without, 2);
  EXPECT_THAT(caught([&] { examples.at("vol", 0, 0); }).what(), HasSubstr("no split \"vol\""));
}

}  // namespace
}  // namespace fathom
