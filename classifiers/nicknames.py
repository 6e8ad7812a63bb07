"""Short forms of given names, as English and its neighbours use them. Folded; data only."""

from __future__ import annotations

# Each full name with its short forms. Forms that are names of their own right (Jack, Harry) too:
# that two people may be one is all that a short form says.
_SHORT_FORMS = """
abigail: abby gail | abraham: abe | alan: al | albert: al bert bertie | alejandro: alex ale jandro
| aleksandr: sasha alex | alexander: alex alec al sandy sasha xander | alexandra: alex sandra
sasha lexi | alfred: al alf alfie fred freddie | allen: al | amanda: mandy | anastasia: nastya
stacy | andrew: andy drew | angela: angie | anthony: tony ant | antonio: tony toni | archibald:
archie | arnold: arnie | arthur: art artie | augustus: gus | barbara: barb babs barbie |
bartholomew: bart | benjamin: ben benny benji | bernard: bernie | beverly: bev | bradley: brad |
calvin: cal | cameron: cam | carolyn: carol | catherine: cathy cate cat kate kitty | cecilia:
celia | charles: charlie chuck chas chaz | charlotte: lottie charlie | chester: chet | christina:
chris tina chrissy | christine: chris tina | christopher: chris kit topher | clarence: clarry |
clifford: cliff | clinton: clint | cornelius: con neil | cynthia: cindy | daniel: dan danny |
david: dave davey | deborah: deb debbie | dennis: denny | dmitri: dima mitya | dominic: dom nick |
donald: don donnie | dorothy: dot dotty dolly | douglas: doug | dwight: ike | edgar: ed eddie |
edmund: ed eddie ned ted | edward: ed eddie ned ted teddy | edwin: ed eddie | ekaterina: katya |
eleanor: ellie nell nora | elizabeth: liz lizzie beth betty bess eliza lisa libby | emily: em emmy
| emmanuel: manny | ernest: ernie | eugene: gene | evelyn: evie | evgeni: zhenya | ezekiel: zeke |
fernando: nando | florence: flo | frances: fran fanny | francis: frank fran | francisco: paco
pancho frank | franklin: frank | frederick: fred freddie freddy rick | gabriel: gabe | gabrielle:
gabby | geoffrey: geoff jeff | george: georgie | gerald: gerry jerry | gerard: gerry | gilbert:
gil bert | giovanni: gianni | giuseppe: beppe peppe | gregory: greg | guillermo: memo | gwendolyn:
gwen | hans: hansi | harold: harry hal | harriet: hattie | helen: nell | henrietta: hattie etta |
henry: harry hank hal | herbert: herb bert | howard: howie | hubert: bert | ignacio: nacho |
isaac: ike | isabella: bella izzy | isidore: izzy | ivan: vanya | jacob: jake | jacqueline: jackie
| james: jim jimmy jamie | janet: jan | jasmine: jas | jeffrey: jeff | jennifer: jen jenny |
jeremiah: jerry | jeremy: jerry | jerome: jerry | jessica: jess jessie | jesus: chuy | johannes:
hans jan | john: johnny jack jon | jonathan: jon jonny | jorge: coque | jose: pepe | josef: sepp |
joseph: joe joey jo | josephine: jo josie | joshua: josh | judith: judy | julian: jules |
katherine: kathy kate katie kat kit kitty | kathleen: kathy kath | kenneth: ken kenny | kimberly:
kim | laurence: larry laurie | lawrence: larry laurie | leonard: len lenny leo | leonid: lyonya |
leopold: leo | leslie: les | lester: les | lewis: lew lou | louis: lou louie | louise: lou |
lucille: lucy | margaret: maggie meg peggy madge marge greta rita | maria: mia | marjorie: marge |
martha: patty | martin: marty | mary: molly polly mae | matilda: tilly | matthew: matt | maurice:
mo | maximilian: max | maxwell: max | melanie: mel | melissa: mel missy | melvin: mel | michael:
mike mick mickey micky mikey | mikhail: misha | mildred: millie | mitchell: mitch | mohammed: mo |
montgomery: monty | mortimer: mort | muhammad: mo | nancy: nan | natalie: nat | nathan: nat nate |
nathaniel: nat nate | nicholas: nick nicky nico | nicole: nicky nikki | nikolai: kolya | norbert:
bert | norman: norm | oliver: ollie | olivia: liv livvy | oscar: ossie | oswald: ozzie oz |
pamela: pam | patricia: pat patty trish | patrick: pat paddy rick | pavel: pasha | penelope: penny
| percival: percy | peter: pete | philip: phil pip | phillip: phil pip | priscilla: cilla |
rachel: rae | rafael: rafa rafi | ralph: ralphie | randall: randy | randolph: randy | raphael:
rafe | raymond: ray | rebecca: becky becca | reginald: reg reggie | richard: rick rich dick ricky
richie | robert: bob rob bobby robbie bert robin | roberta: bobbie | roberto: beto berto |
roderick: rod | rodney: rod | roger: rodge | roland: rollie | ronald: ron ronnie | rosemary: rose
rosie | rudolf: rudi ruedi rudy | rudolph: rudy | russell: russ | samantha: sam sammy | samuel:
sam sammy | sebastian: seb bash | sergei: seryozha | sidney: sid | simon: si | solomon: sol |
sophia: sophie | stanley: stan | stephanie: steph | stephen: steve stevie | steven: steve stevie |
stewart: stew stu | stuart: stu | susan: sue susie | susanna: sue susie | svetlana: sveta |
sydney: syd | sylvester: sly | tabitha: tabby | tatiana: tanya | terence: terry | teresa: terry
tess | terrence: terry | thaddeus: tad thad | theodora: dora thea | theodore: ted teddy theo |
theresa: terry tess | thomas: tom tommy | timothy: tim timmy | tobias: toby | valentina: val tina
| valerie: val | veronica: ronnie | victor: vic | victoria: vicky tori | vincent: vince vinny |
virginia: ginny | vivian: viv | vladimir: vlad | wallace: wally | walter: walt wally | wesley: wes
| wilfred: wilf fred | wilhelmina: mina minnie | william: will bill billy willie liam | winifred:
winnie | winston: win | yuri: yura | zachary: zach zack
"""


def _read(table: str) -> dict[str, tuple[str, ...]]:
    entries = (entry.partition(":") for entry in table.split("|"))
    return {full.strip(): tuple(short.split()) for full, _, short in entries}


SHORT_FORMS = _read(_SHORT_FORMS)
"""Short forms by full name."""


def _names_meant() -> dict[str, frozenset[str]]:
    meant: dict[str, set[str]] = {}
    for full, shorts in SHORT_FORMS.items():
        for name in (full, *shorts):
            meant.setdefault(name, {name}).add(full)
    return {name: frozenset(full) for name, full in meant.items()}


NAMES_MEANT = _names_meant()
"""By every name above: what it may stand for, itself among them."""
