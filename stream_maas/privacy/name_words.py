"""Words around names: what announces one, what follows one, what only looks like one. In a dozen languages."""

from __future__ import annotations

from typing import Final

PARTICLES: Final = frozenset((
    "van", "von", "de", "der", "den", "da", "das", "do", "dos", "di", "della", "del", "la", "le", "el", "al", "bin",
    "ibn",
    "bint", "zu", "zur", "vom", "ter", "ten", "af", "av", "e", "y", "du", "des", "st.", "'t",
))  # fmt: skip
TITLES: Final = frozenset((
    "mr", "mr.", "mrs", "mrs.", "ms", "ms.", "herr", "herrn", "frau", "monsieur", "madame", "mme", "señor", "señora",
    "sr.", "sra.", "srta.", "don", "doña", "senhor", "senhora", "dona", "signor", "signora", "sig.", "sig.ra",
    "meneer", "heer", "mevrouw", "dhr.", "mevr.",
))  # fmt: skip
"""Words of address behind which even an ordinary word is a name: Mrs May, Herr Berlin."""
CUES: Final = frozenset((
    "my name is", "name is", "name's", "called", "mr", "mr.", "mrs", "mrs.", "ms", "ms.", "miss", "mister", "dr",
    "dr.",
    "prof", "prof.", "professor", "sir", "madam", "patient", "patient name", "customer name", "full name",
    "first name", "last name",
    "contact person", "signed by", "yours sincerely", "best regards", "kind regards", "regards", "sincerely",
    "mein name ist", "ich heiße", "ich heisse", "heißt", "herr", "herrn", "frau", "kunde", "kundin",
    "sehr geehrter herr",
    "sehr geehrte frau", "mit freundlichen grüßen", "je m'appelle", "je suis", "mon nom est", "monsieur", "madame",
    "mme", "mme.", "mlle",
    "m.", "me llamo", "mi nombre es", "se llama", "señor", "señora", "sr.", "sra.", "srta.", "don", "doña",
    "meu nome é", "me chamo",
    "chama-se", "senhor", "senhora", "dona", "seu", "mi chiamo", "il mio nome è", "signor", "signora", "sig.",
    "sig.ra", "dott.", "dott.ssa",
    "mijn naam is", "ik heet", "meneer", "mevrouw", "dhr.", "mevr.", "nazywam się", "mam na imię", "pan", "pani",
    "jag heter", "mitt namn är",
    "jeg hedder", "mit navn er", "nimeni on", "jmenuji se", "pane", "paní", "меня зовут", "зовут", "господин",
    "госпожа", "г-н", "г-жа",
    "benim adım", "adım", "ismim", "sayın", "με λένε", "κύριος", "κυρία", "numele meu este", "mă numesc", "domnul",
    "doamna", "a nevem",
    "tên tôi là", "nama saya", "bapak", "ibu",
    "my wife", "my husband", "my son", "my daughter", "my brother", "my sister", "my mother", "my father", "my friend",
    "my boss", "my colleague", "everyone calls me", "people call me", "ma femme", "mon mari", "mon fils", "ma fille",
    "mi esposa", "mi marido", "mi hijo", "mi hija", "minha esposa", "meu marido", "meu filho", "minha filha",
    "mia moglie", "mio marito", "mio figlio", "mia figlia", "mijn vrouw", "mijn man", "mijn zoon", "mijn dochter",
    "moja żona", "mój mąż", "mój syn", "moja córka", "моя жена", "мой муж", "мой сын", "моя дочь", "фио", "ф.и.о.",
    "vriendelijke groet", "vriendelijke groeten", "groetjes", "saludos", "atentamente", "cordialement",
    "cordiali saluti",
    "distinti saluti", "atenciosamente", "cumprimentos", "pozdrawiam", "z poważaniem", "с уважением", "mvh",
    "vänliga hälsningar", "venlig hilsen", "terveisin", "saygılarımla", "freundliche grüße", "viele grüße",
    "liebe grüße", "beste grüße", "lg", "vg", "patientin", "heer", "paciente", "paziente", "patiënt",
    "pacjent", "pacjentka",
    "пациент", "пациентка", "señorita", "signorina", "fru", "szanowny panie", "szanowna pani",
    "il sottoscritto", "la sottoscritta", "contribuente", "titular",
))  # fmt: skip
"""What follows in capitals is a name, known or not."""
CUES_BEFORE_ANY_WORD: Final = frozenset((
    "dear", "hi", "hello", "hey", "i am", "i'm", "this is", "from", "by", "with", "to", "thanks", "thank you",
    "cheers", "name", "contact",
    "hallo", "liebe", "lieber", "guten tag", "bonjour", "cher", "chère", "hola", "estimado", "estimada", "querido",
    "querida", "olá", "oi",
    "prezado", "prezada", "caro", "cara", "ciao", "gentile", "beste", "geachte", "cześć", "drogi", "hej", "kära",
    "kære", "hei", "привет",
    "уважаемый", "уважаемая", "merhaba", "sevgili", "bin", "ich bin", "soy", "sou", "sono", "ben", "jestem",
    "jag är", "user", "client",
    "employee", "agent", "manager", "driver", "nurse", "doctor", "colleague", "friend", "brother", "sister",
    "husband", "wife", "son",
    "daughter", "mother", "father", "uncle", "aunt", "kid", "child", "boss", "neighbor", "neighbour", "roommate",
    "girlfriend", "boyfriend", "cousin", "nephew", "niece", "teacher", "says", "said", "asked", "told", "author",
))  # fmt: skip
"""What follows is a name if a list knows it."""
BEFORE_SMALL_LETTERS: Final = (
    "name is", "name's", "call me", "calls me", "me llamo", "mi nombre es", "je m'appelle", "mon nom est", "ich heiße",
    "ich heisse", "mein name ist", "mi chiamo", "il mio nome è", "meu nome é", "me chamo", "mijn naam is", "ik heet",
    "nazywam się", "mam na imię", "меня зовут", "jag heter", "mitt namn är", "jeg hedder", "mit navn er", "nimeni on",
    "benim adım", "follow up with", "on behalf of",
)  # fmt: skip
"""What follows is a name even in small letters, if a list knows it."""
BEFORE_PLACES: Final = frozenset((
    "são", "san", "santa", "santo", "st.", "st", "saint", "sainte", "sankt", "los", "las", "rio", "port", "fort",
    "mount", "lake", "cape", "camp",
    "hotel", "café", "restaurant", "rue", "via", "calle", "rua", "avenida", "avenue", "plaza", "piazza", "place",
))  # fmt: skip
"""What makes a place of the name that follows, lower case."""
EAST_PHRASES: Final = (
    "我叫", "我是", "名叫", "姓名", "名字是", "名字叫", "联系人", "收件人", "收货人", "客户", "患者", "持卡人",
    "本人", "先生叫", "叫做", "您好，我是", "聯絡人",
    "私は", "名前は", "氏名", "お名前", "担当は", "担当の", "제 이름은", "이름은", "성명", "이름", "저는", "고객명",
    "담당자",
)  # fmt: skip
TITLES_BEHIND: Final = (
    "と申します", "といいます", "と言います",
    "先生", "女士", "小姐", "老师", "医生", "经理", "律师", "同学", "教授", "さん", "様", "さま", "氏", "くん",
    "ちゃん", "씨", "님", "선생님", "과장", "부장",
)  # fmt: skip
