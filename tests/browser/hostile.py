"""Words that would run, ask the network for something or break a page, if they were not escaped.

``URL`` stands for a server that counts what is asked of it; what runs sets ``window.ran``.
"""

# Each of them does run or ask, in a page that neither escapes nor forbids: a test holds them to it.
LIVE = {
    "script": "<script>window.ran = 1</script>",
    "script elsewhere": '<script src="URL/script"></script>',
    "handler": "<img src=x onerror=window.ran=1>",
    "closing tags": "\"'></title></style></svg></pre></details><svg onload=window.ran=1>",
    "attribute": '<i tabindex=1 onfocus="window.ran=1" autofocus>x</i>',
    "details": "<details open ontoggle=window.ran=1>",
    "image": "<img src=URL/image srcset='URL/set 2x'>",
    "style": "<style>body { background: url(URL/style) }</style>",
    "style attribute": '<p style="background: url(URL/attribute)">',
    "style sheet": "<link rel=stylesheet href=URL/sheet>",
    "import": "<style>@import 'URL/import';</style>",
    "frame": "<iframe src=URL/frame></iframe>",
    "object": "<object data=URL/object></object><embed src=URL/embed>",
    "video": "<video autoplay src=URL/video poster=URL/poster></video>",
    "svg image": "<svg><image href=URL/image /><animate onbegin=window.ran=1 dur=1s /></svg>",
}
# Not forbidden by any policy, so escaping alone holds them back.
LEAVING = {"refresh": '<meta http-equiv=refresh content="0; url=URL/refresh">'}
# Words that do nothing by themselves, and may confuse what shows or stores them.
ODD = {
    "url of a script": "javascript:window.ran=1",
    "quotes": '" onmouseover="window.ran=1" \' onfocus=\'window.ran=1',
    "form": "<form action=URL/form><input name=a><button>",
    "base": "<base href=URL/base/>",
    "ends": "]]> --> <!-- */ </body></html>",
    "template": "{{ 7 * 7 }} {% raw %} {# #} ${7*7} <%= 7 %>",
    "right to left": "\u202edesrever\u202c \u2067\u202b\u05d0\u05d1 123 \u202e",
    "zero width": "a\u200b\u200c\u200d\u2060\ufeffb\u00ad",
    "lone surrogate": "half \ud83d",
    "control": "nul \0 bell \x07 escape \x1b[31m \x85 \x9b",
    "entities": "&lt;script&gt; &#60;b&#62; &amp;colon; &NotEqualTilde;",
    "markdown": "![a](URL/md) [b](javascript:window.ran=1) | c | `d` **e**\n\n# f",
    "formula": '=HYPERLINK("URL/csv","a")+@SUM(1)-cmd|x!A1',
    "latex": "\\input{/etc/passwd}\\immediate\\write18{id} $a$ % & # _ ^ ~ {",
    "accents": "Z" + "\u0337\u0342\u0489" * 60,
    "lines": "\n\n\n\t a \r\n" * 40,
}
# An answer with two of them is still as short as one must be to be read.
LONG = {"long word": "W" * 20_000, "long text": "some words " * 1_800}
WORDS = LIVE | LEAVING | ODD
