// Wirings: which trees a block can compute, what they call, and how they read.
#include "fathom/model/spec/wiring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "config/config_testing.h"

namespace fathom {
namespace {

using namespace wire;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::refusal_of;

const Expr r = name("r"), n = name("n"), y = name("y");

Wiring one(Expr value) {
  return {{{"r", std::move(value)}}};
}

// What is said about a wiring that nothing can compute.
std::string refused(const Wiring& wiring) {
  const Error e = refusal_of([&] { check_wiring(wiring); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage) << to_text(wiring);
  EXPECT_FALSE(e.hint().empty()) << to_text(wiring);
  return e.what();
}

TEST(Wiring, PreNormIsGpt2sBlock) {
  const Wiring wiring = pre_norm_wiring();
  EXPECT_EQ(to_text(wiring), "r = r + A(n); r = r + M(N(r))");
  const WiringParts parts = check_wiring(wiring);
  EXPECT_EQ(parts.attentions, 1);
  EXPECT_EQ(parts.mlps, 1);
  EXPECT_EQ(parts.norms, 1);
  EXPECT_EQ(parts.attention_calls, 1);
  EXPECT_FALSE(parts.reads_y);
}

TEST(Wiring, PartsAreTheHighestNumbersCalled) {
  const Wiring wiring = {{{"a", attention(n, 1)},
                          {"r", r * attention(n, 0) + name("a")},
                          {"r", r + mlp(norm(r, 2), 0) + mlp(norm(norm(r, 0), 1), 1)}}};
  const WiringParts parts = check_wiring(wiring);
  EXPECT_EQ(parts.attentions, 2);
  EXPECT_EQ(parts.mlps, 2);
  EXPECT_EQ(parts.norms, 3);
  EXPECT_EQ(parts.attention_calls, 2);
  EXPECT_EQ(to_text(wiring), "a = A[1](n); r = r*A(n) + a; r = r + M(N[2](r)) + M[1](N[1](N(r)))");
}

// A call in each of two places keeps two sets of keys, whosever weights they are.
TEST(Wiring, EveryAttentionCallCounts) {
  const WiringParts parts = check_wiring(one(r + attention(attention(n)) + attention(r, n)));
  EXPECT_EQ(parts.attentions, 1);
  EXPECT_EQ(parts.attention_calls, 3);
}

TEST(Wiring, ABlockMayDoWithoutAttentionOrMlp) {
  const WiringParts parts = check_wiring(one(r + mlp(n)));
  EXPECT_EQ(parts.attentions, 0);
  EXPECT_EQ(parts.attention_calls, 0);
  EXPECT_EQ(parts.mlps, 1);
  EXPECT_EQ(parts.norms, 0);
  EXPECT_EQ(check_wiring(one(n)).mlps, 0);
}

TEST(Wiring, ReadsYWhereverYIsRead) {
  EXPECT_TRUE(check_wiring(one(r + y)).reads_y);
  EXPECT_TRUE(check_wiring({{{"y", attention(y) * mlp(y)}, {"r", r + n}}}).reads_y);
  EXPECT_TRUE(check_wiring(one(r + sigmoid(mean(mlp(norm(attention(n, y))))) * n)).reads_y);
  EXPECT_FALSE(check_wiring({{{"y", attention(n)}, {"r", r + n}}}).reads_y) << "assigned only";
}

TEST(Wiring, ShapesGrowToTheLargerOperand) {
  EXPECT_NO_THROW(check_wiring(one(r + number(2) * attention(n))));
  EXPECT_NO_THROW(check_wiring(one(mean(r) + r)));
  EXPECT_NO_THROW(check_wiring(one(r - mean(r) * number(0.5))));
  EXPECT_NO_THROW(check_wiring({{{"g", sigmoid(mean(mlp(n)))}, {"r", r * name("g")}}}));
  EXPECT_NO_THROW(check_wiring({{{"a", number(2)}, {"r", sigmoid(name("a")) * r}}}));
}

TEST(Wiring, RIsAssignedAndWhatItGetsHasChannels) {
  EXPECT_THAT(refused({}), HasSubstr("no statement assigns r"));
  EXPECT_THAT(refused({{{"t", attention(n)}}}),
              AllOf(HasSubstr("t = A(n)"), HasSubstr("assigns r")));
  EXPECT_THAT(refused(one(number(1))), AllOf(HasSubstr("r = 1"), HasSubstr("channels")));
  EXPECT_THAT(refused(one(mean(r))), HasSubstr("channels"));
  EXPECT_THAT(refused(one(mean(r) + number(1))), HasSubstr("channels"));
  EXPECT_THAT(refused({{{"r", r + n}, {"y", mean(n)}}}),
              AllOf(HasSubstr("y = mean(n)"), HasSubstr("channels")));
}

TEST(Wiring, NIsNotAssigned) {
  EXPECT_THAT(refused({{{"n", norm(r)}, {"r", r + n}}}),
              AllOf(HasSubstr("n = N(r)"), HasSubstr("cannot be assigned")));
}

TEST(Wiring, NamesOfWhatAWalkShowsBesidesAreNotAssigned) {
  for (const char* taken : {"door", "head"})
    EXPECT_THROW(check_wiring({{{taken, name("n")}, {"r", name("r") + name(taken)}}}), Error);
  for (const char* free : {"a", "m", "h", "t"})
    EXPECT_NO_THROW(check_wiring({{{free, name("n")}, {"r", name("r") + name(free)}}}));
}

// What keys are made of, for rows that ask nothing.
TEST(Wiring, KeysAreMadeAloneWhereNoAttentionComesBeforeThem) {
  const auto alone = [](const Wiring& wiring) { return check_wiring(wiring).keys_alone; };
  const auto makes = [](const Wiring& wiring) { return check_wiring(wiring).makes_keys; };
  EXPECT_TRUE(alone(pre_norm_wiring()));
  EXPECT_EQ(makes(pre_norm_wiring()), (std::vector<bool>{false, false}));
  EXPECT_TRUE(alone({{{"r", r + mlp(n)}}}));
  // Through a temporary, into an argument, in an expression.
  EXPECT_FALSE(alone({{{"a", attention(n)}, {"r", r + attention(name("a"))}}}));
  EXPECT_FALSE(alone({{{"r", r + attention(n)}, {"r", r + attention(n, r)}}}));
  EXPECT_FALSE(alone({{{"r", r + attention(mlp(attention(n)))}}}));
  EXPECT_FALSE(
      alone({{{"a", attention(n)}, {"b", name("a") * n}, {"r", r + attention(name("b"))}}}));
  // A name that has another value by then.
  EXPECT_TRUE(alone(
      {{{"a", attention(n)}, {"r", r + name("a")}, {"a", n}, {"r", r + attention(name("a"))}}}));
  const Wiring both = {{{"t", mlp(n)},
                        {"u", sigmoid(name("t"))},
                        {"a", attention(name("t"), r)},
                        {"r", r + name("a") * name("u") + attention(n)}}};
  EXPECT_TRUE(alone(both));
  EXPECT_EQ(makes(both), (std::vector<bool>{true, false, false, false}));
  // Queries may come of an attention, keys and values may not.
  const Expr t = name("t"), a = name("a");
  const auto joined = [&](const Expr& x, const Expr& keys, const Expr& values) {
    return Wiring{{{"a", attention(n)}, {"t", mlp(n)}, {"r", r + attention(x, keys, values)}}};
  };
  EXPECT_TRUE(alone(joined(a, t, n)));
  EXPECT_TRUE(alone(joined(attention(r), t, n)));
  EXPECT_FALSE(alone(joined(n, a, n)));
  EXPECT_FALSE(alone(joined(n, n, a)));
  EXPECT_EQ(makes(joined(a, t, n)), (std::vector<bool>{false, true, false}));
  EXPECT_EQ(makes(joined(t, n, r)), (std::vector<bool>{false, false, false}));
  // What is assigned again is not what the key was made of.
  const Wiring again = {{{"t", mlp(n)}, {"t", n}, {"r", r + attention(name("t"))}}};
  EXPECT_EQ(makes(again), (std::vector<bool>{false, true, false}));
}

TEST(Wiring, ANameHasAValueBeforeItIsRead) {
  EXPECT_THAT(refused(one(r + name("t"))),
              AllOf(HasSubstr("r = r + t"), HasSubstr("t has no value")));
  EXPECT_THAT(refused({{{"r", r + name("t")}, {"t", n}}}), HasSubstr("t has no value"));
  EXPECT_THAT(refused({{{"t", name("t")}, {"r", r}}}), HasSubstr("t has no value"));
  EXPECT_NO_THROW(check_wiring({{{"t", n}, {"t", name("t") + r}, {"r", name("t")}}}));
  EXPECT_THAT(refused(one(r + name(""))), HasSubstr("has no value"));
}

TEST(Wiring, PartsTakeValuesWithChannels) {
  for (const Expr& e :
       {attention(number(1)), attention(mean(n)), attention(n, mean(n)), attention(n, mean(n), n),
        mlp(mean(n)), norm(number(1)), mean(mean(n)), mean(number(3))})
    EXPECT_THAT(refused(one(r + e)), HasSubstr("has no channels"));
  EXPECT_THAT(refused({{{"g", mean(n)}, {"r", r + mlp(name("g"))}}}),
              HasSubstr("g has no channels"));
  EXPECT_THAT(refused({{{"g", n}, {"g", mean(n)}, {"r", r + mlp(name("g"))}}}),
              HasSubstr("g has no channels"))
      << "the value it has now, not the one before";
}

TEST(Wiring, PartsAreNumberedWithoutGaps) {
  EXPECT_THAT(refused(one(r + attention(n, 1))), HasSubstr("A[1]"));
  EXPECT_THAT(refused(one(r + mlp(n, 0) + mlp(n, 2))), HasSubstr("M[2]"));
  EXPECT_THAT(refused(one(r + norm(n, 3))), HasSubstr("N[3]"));
  EXPECT_THAT(refused(one(r + mlp(n, -1))), HasSubstr("-1"));
}

// Trees that the builders cannot make, as a reader of files could.
TEST(Wiring, ACallHasTheArgumentsOfItsKind) {
  const auto with_arguments = [](Expr e, size_t count) {
    e.args.assign(count, n);
    return one(e);
  };
  for (const Expr& e : {mlp(n), wire::norm(n), sigmoid(n), attention(n)}) {
    EXPECT_NO_THROW(check_wiring(with_arguments(e, 1)));
    for (const size_t count : {0, 4})
      EXPECT_THAT(refused(with_arguments(e, count)), HasSubstr("arguments"));
  }
  for (const Expr& e : {mlp(n), wire::norm(n), sigmoid(n), mean(n), sum(n)})
    EXPECT_THAT(refused(with_arguments(e, 2)), HasSubstr("arguments"));
  for (const Expr& e : {mlp(n), wire::norm(n), sigmoid(n), mean(n), sum(n)})
    EXPECT_THAT(refused(with_arguments(e, 3)), HasSubstr("arguments"));
  for (const size_t count : {2, 3})
    EXPECT_NO_THROW(check_wiring(with_arguments(attention(n), count)));
  for (const Expr& e : {n + n, n - n, n * n}) {
    EXPECT_NO_THROW(check_wiring(with_arguments(e, 2)));
    EXPECT_THAT(refused(with_arguments(e, 3)), HasSubstr("arguments"));
  }
}

TEST(Wiring, TextKeepsTheOrderOfTheTree) {
  const Expr a = name("a"), b = name("b"), c = name("c");
  const std::pair<Expr, const char*> cases[] = {
      {a + b - c, "a + b - c"},
      {a - (b + c), "a - (b + c)"},
      {a - (b - c), "a - (b - c)"},
      {(a - b) - c, "a - b - c"},
      {(a + b) * c, "(a + b)*c"},
      {(a - (b - c)) * a, "(a - (b - c))*a"},
      {a * (b + (c - a)), "a*(b + (c - a))"},
      {a + b * c, "a + b*c"},
      {a * (b - c), "a*(b - c)"},
      {a * b * c, "a*b*c"},
      {a * (b * c), "a*(b*c)"},
      {a + (b + c), "a + (b + c)"},
      {a + (b - c), "a + (b - c)"},
      {(a * b) * (c * a), "a*b*(c*a)"},
      {a + b * (c + a) * b, "a + b*(c + a)*b"},
      {mlp(a + b) * c, "M(a + b)*c"},
      {attention(a + b, c, 1), "A[1](a + b, c)"},
      {attention(a + b, b * c, c, 1), "A[1](a + b, b*c, c)"},
      {sigmoid(mean(a)), "sigmoid(mean(a))"},
      {number(2) * a + number(0.5), "2*a + 0.5"},
      {norm(a, 12), "N[12](a)"},
  };
  for (const auto& [tree, text] : cases) EXPECT_EQ(to_text(one(tree)), std::string("r = ") + text);
  EXPECT_EQ(to_text(Wiring{}), "");
}

TEST(Wiring, EqualTreesPrintAlikeAndOthersDoNot) {
  const auto axm = [] { return one(name("r") + attention(name("n")) * mlp(name("n"))); };
  EXPECT_EQ(to_text(axm()), to_text(axm()));
  const std::vector<Wiring> different = {
      axm(),
      one(r + mlp(n) * attention(n)),
      one((r + attention(n)) * mlp(n)),
      one(r - attention(n) * mlp(n)),
      one(r + attention(r) * mlp(n)),
      one(r + attention(n, n) * mlp(n)),
      one(r + attention(n, n, n) * mlp(n)),
      one(r + attention(n) * mlp(norm(n))),
      one(r + attention(n, 1) * mlp(n)),
      one(r + number(1) * attention(n) * mlp(n)),
      one(r + number(1.0000001) * attention(n) * mlp(n)),
      {{{"y", r + attention(n) * mlp(n)}}},
  };
  for (size_t i = 0; i < different.size(); ++i)
    for (size_t j = 0; j < i; ++j) EXPECT_NE(to_text(different[i]), to_text(different[j]));
}

// Every tree of up to four leaves has a text of its own.
TEST(Wiring, TheTextIsTheTree) {
  std::vector<std::vector<Expr>> trees = {{}, {name("a"), name("b")}};
  for (size_t leaves = 2; leaves <= 4; ++leaves) {
    trees.emplace_back();
    for (size_t left = 1; left < leaves; ++left)
      for (const Expr& x : trees[left])
        for (const Expr& y2 : trees[leaves - left])
          for (const Expr& tree : {x + y2, x - y2, x * y2}) trees[leaves].push_back(tree);
  }
  std::set<std::string> texts;
  size_t count = 0;
  for (const std::vector<Expr>& of_size : trees)
    for (const Expr& tree : of_size) {
      texts.insert(to_text(one(tree)));
      ++count;
    }
  EXPECT_EQ(texts.size(), count);
  EXPECT_GT(count, 2000U);
}

TEST(Wiring, CallsAreCountedByPart) {
  const WiringParts parts = check_wiring(
      one(r + attention(attention(n), r, 1) + mlp(norm(norm(r))) + mlp(n) + mlp(r, 1)));
  EXPECT_EQ(parts.calls_of_attention, (std::vector<int>{1, 1}));
  EXPECT_EQ(parts.calls_of_mlp, (std::vector<int>{2, 1}));
  EXPECT_EQ(parts.calls_of_norm, (std::vector<int>{2}));
  EXPECT_EQ(parts.attention_calls, 2);
}

TEST(CheckWiring, AnOperationWithoutItsArgumentsIsRefused) {
  Expr sum;
  sum.op = Expr::kAdd;
  sum.args = {wire::name("n")};
  EXPECT_THROW(check_wiring({{{"r", sum}}}), Error);
}

}  // namespace
}  // namespace fathom
