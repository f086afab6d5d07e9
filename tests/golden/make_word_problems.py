"""Makes word_problems.jsonl beside itself: 200 problems of arithmetic in words, of ten templates.

    python3 tests/golden/make_word_problems.py

Numbers come from a generator written out here, so that every Python makes the same bytes. Half of
the templates have whole numbers, the others have one or two decimals; answers are exact.
"""

import json
import os
from fractions import Fraction

PROBLEMS = 200
NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo"]
THINGS = ["pears", "stamps", "marbles", "books", "shells", "coins", "cards", "bolts"]


class Draws:
    """Knuth's 64-bit linear congruential generator, its upper bits."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n

    def of(self, words):
        return words[self.below(len(words))]

    def whole(self, low, high):
        return Fraction(low + self.below(high - low + 1))

    def decimal(self, low, high, places):
        scale = 10**places
        return Fraction(low * scale + self.below((high - low) * scale + 1), scale)


def shown(number):
    """As it is written: at most four decimals, none that are zeros at the end."""
    text = f"{float(number):.4f}".rstrip("0").rstrip(".")
    assert Fraction(text) == number, number
    return text


def gains(d):
    a, b = d.whole(2, 80), d.whole(2, 80)
    who, what = d.of(NAMES), d.of(THINGS)
    return f"{who} has {a} {what} and finds {b} more. How many {what} does {who} have now?", a + b


def loses(d):
    a = d.whole(20, 95)
    b = d.whole(1, int(a) - 1)
    who, what = d.of(NAMES), d.of(THINGS)
    return f"Of {a} {what}, {who} gives {b} away. How many {what} are left?", a - b


def boxes(d):
    a, b = d.whole(2, 12), d.whole(3, 25)
    what = d.of(THINGS)
    return f"There are {a} boxes, and each holds {b} {what}. How many {what} are there in all?", a * b


def shares(d):
    a, b = d.whole(2, 12), d.whole(2, 30)
    who, what = d.of(NAMES), d.of(THINGS)
    return f"{who} puts {a * b} {what} into {a} equal piles. How many {what} are in a pile?", b


def boxes_and_more(d):
    a, b, c = d.whole(2, 9), d.whole(3, 20), d.whole(1, 30)
    who, what = d.of(NAMES), d.of(THINGS)
    text = f"{who} fills {a} bags with {b} {what} each and keeps {c} {what} in a drawer. "
    return text + f"How many {what} does {who} own?", a * b + c


def price(d):
    a, b = d.whole(2, 9), d.decimal(1, 20, 2)
    what = d.of(THINGS)
    return f"A pack of {what} costs {shown(b)} euros. What do {a} packs cost?", a * b


def change(d):
    b = d.decimal(1, 49, 2)
    who = d.of(NAMES)
    return f"{who} pays {shown(b)} euros with a note of 50. How many euros come back?", 50 - b


def walk(d):
    a, b = d.decimal(1, 15, 1), d.decimal(1, 15, 1)
    who = d.of(NAMES)
    text = f"In the morning {who} walks {shown(a)} kilometres, in the evening {shown(b)}. "
    return text + "How far is that together?", a + b


def ribbon(d):
    a, b = d.whole(2, 8), d.decimal(1, 9, 1)
    who = d.of(NAMES)
    text = f"A ribbon of {shown(a * b)} metres is cut by {who} into {a} pieces of one length. "
    return text + "How long is a piece?", b


def tank(d):
    a, b, c = d.decimal(30, 90, 1), d.whole(2, 6), d.decimal(1, 5, 1)
    text = f"A tank holds {shown(a)} litres, and {shown(c)} litres leak out every hour. "
    return text + f"How many litres are in it after {b} hours?", a - b * c


TEMPLATES = [gains, loses, boxes, shares, boxes_and_more, price, change, walk, ribbon, tank]


def main():
    draws = Draws(21)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "word_problems.jsonl")
    with open(path, "w", encoding="ascii", newline="\n") as out:
        for i in range(PROBLEMS):
            question, answer = TEMPLATES[i % len(TEMPLATES)](draws)
            out.write(json.dumps({"question": question, "answer": shown(answer)}) + "\n")


if __name__ == "__main__":
    main()
